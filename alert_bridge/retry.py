"""When to try again: pure functions of the number of tries, used by `relay.py`."""

from datetime import timedelta

MAX_ATTEMPTS = 24
_FIRST, _LONGEST = 2.0, 300.0
_CHANNEL_LONGEST = 60.0


def next_try(attempts: int, retry_after: float | None, chance: float) -> timedelta | None:
    """Return how long to wait after `attempts` failed tries (>= 1); None: enough, the notification is dead.

    2, 4, 8 ... 256 s, then 5 min: 24 tries take at most 1 h 24 min. `chance` in [0, 1) takes up to half of it away, so that
    relays don't come back together; what the destination asked for (Retry-After, seconds) is the least, an hour the most
    (then 24 tries take longer).
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    wait = min(_LONGEST, _FIRST * 2 ** (attempts - 1)) * (1 - chance / 2)
    return timedelta(seconds=max(wait, min(retry_after or 0.0, 3600.0)))


def pause(failures: int, chance: float) -> timedelta:
    """Return how long a channel rests after `failures` temporary failures in a row: 1, 2, 4 ... 60 s, less up to half."""
    # the exponent is bounded: a channel that is dead for a day fails more often than a float has powers of 2
    return timedelta(seconds=min(_CHANNEL_LONGEST, 2.0 ** min(failures - 1, 16)) * (1 - chance / 2))
