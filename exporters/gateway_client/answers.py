"""What the gateway's answer means for the reports that were sent: a pure table. Called by `sender.py`.

200 with all accounted for: they are the gateway's now. 400: one of them is to blame, found by halving, set aside alone. 401,
403: keep all, slow down. 413: halve. 429, 503: when the gateway says. Anything else, silence included: later.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple

RESULTS = (
    "accepted", "duplicate", "rejected", "unreadable", "unauthorized", "too_large", "throttled", "unavailable",
    "unreachable", "unexpected",
)  # fmt: skip
LONGEST_PAUSE = 60.0
_UNAUTHORIZED_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 600.0


class Answer(NamedTuple):
    """What came back; status 0 when nothing did, then `text` says why."""

    status: int
    text: str
    retry_after: str = ""


class Then(Enum):
    """What to do with the reports of one request."""

    SETTLE = "settle"
    SPLIT = "split"
    WAIT = "wait"


class Decision(NamedTuple):
    """What an answer means; `refused` are (id, reason), `pause` is in seconds and None when the backoff decides."""

    then: Then
    results: dict[str, int]
    refused: list[tuple[str, str]] = []
    pause: float | None = None


def decide(answer: Answer, ids: list[str], now: datetime | None = None) -> Decision:
    """Return what to do with the reports of these ids."""
    count, status = len(ids), answer.status
    if status == 200:
        return _delivered(answer, ids)
    if status in (400, 413):
        result = "unreadable" if status == 400 else "too_large"
        if count > 1:
            return Decision(Then.SPLIT, {})
        return Decision(Then.SETTLE, {result: 1}, [(ids[0], f"{status}: {answer.text}")])
    if status in (401, 403):
        return Decision(Then.WAIT, {"unauthorized": count}, pause=_UNAUTHORIZED_PAUSE)
    if status in (429, 503):
        result = "throttled" if status == 429 else "unavailable"
        return Decision(Then.WAIT, {result: count}, pause=_retry_after(answer.retry_after, now))
    if status == 0:
        return Decision(Then.WAIT, {"unreachable": count})
    return Decision(Then.WAIT, {"unavailable" if status >= 500 else "unexpected": count})


def _delivered(answer: Answer, ids: list[str]) -> Decision:
    """Believe a 200 only if it accounts for each report: a portal's page says 200 too."""
    try:
        document = json.loads(answer.text)
        accepted, duplicates = int(document["accepted"]), int(document["duplicates"])
        rejected = [(_rejected_id(entry, ids), str(entry.get("reason", ""))) for entry in document["rejected"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return Decision(Then.WAIT, {"unexpected": len(ids)})
    if accepted + duplicates + len(rejected) != len(ids) or min(accepted, duplicates) < 0:
        return Decision(Then.WAIT, {"unexpected": len(ids)})
    results = {"accepted": accepted, "duplicate": duplicates, "rejected": len(rejected)}
    return Decision(Then.SETTLE, results, rejected)


def _rejected_id(entry: dict[str, object], ids: list[str]) -> str:
    """Return the id of a rejected report: its own if it is one of these, else that of its index."""
    given = entry.get("id")
    if given in ids:
        return str(given)
    index = entry["index"]
    if not isinstance(index, int) or index < 0:
        raise ValueError(f"index {index!r}")
    return ids[index]


def _retry_after(text: str, now: datetime | None) -> float | None:
    """Return the header's seconds, given as a number or as a date; None when it is neither."""
    text = text.strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(text) - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def backoff(failures: int, chance: Callable[[], float]) -> float:
    """Return seconds until the next try after so many failures in a row: full jitter, 1 s doubled up to 60 s."""
    return chance() * min(LONGEST_PAUSE, 2.0 ** min(failures - 1, 10))
