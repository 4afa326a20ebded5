"""When to try again: pure functions of the number of tries, used by `claims.py` and `relay.py`."""

from datetime import timedelta

MAX_ATTEMPTS = 36
MAX_DIGEST_ATTEMPTS = 1440
"""A digest stands for what nobody has told yet: it is tried for a day."""
_FIRST, _LONGEST = 2.0, 300.0
_CHANNEL_LONGEST = 60.0
_ASKED_LONGEST = 3600.0


def next_try(attempts: int, retry_after: float | None, chance: float, digest: bool = False) -> timedelta | None:
    """Return how long to wait after `attempts` failed tries (>= 1); None: enough, the notification is dead.

    2, 4, 8 ... 256 s, then 5 min: 36 tries take 1 h 12 min to 2 h 23 min, so that what a destination missed is late (an
    hour) before it is dead. A digest waits a minute at most: 1,440 tries take 12 to 24 h. `chance` in [0, 1) takes up to
    half of a wait away, so that relays don't come back together; what the destination asked for (Retry-After, seconds) is
    the least, an hour the most (then the tries take longer).
    """
    if attempts >= (MAX_DIGEST_ATTEMPTS if digest else MAX_ATTEMPTS):
        return None
    # the exponent is bounded: a digest is tried more often than a float has powers of 2
    wait = min(_CHANNEL_LONGEST if digest else _LONGEST, _FIRST * 2.0 ** min(attempts - 1, 16)) * (1 - chance / 2)
    return timedelta(seconds=max(wait, _asked(retry_after)))


def pause(failures: int, chance: float, retry_after: float | None = None) -> timedelta:
    """Return how long a channel rests after `failures` temporary failures in a row: 1, 2, 4 ... 60 s, less up to half.

    What a destination asks for that has had too much (`retry_after`) is the least: what comes sooner is refused too.
    """
    wait = min(_CHANNEL_LONGEST, 2.0 ** min(failures - 1, 16)) * (1 - chance / 2)
    return timedelta(seconds=max(wait, _asked(retry_after)))


def _asked(retry_after: float | None) -> float:
    return min(retry_after or 0.0, _ASKED_LONGEST)
