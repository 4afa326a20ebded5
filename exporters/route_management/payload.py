"""What a tenant reports: bodies of both endpoints as plain events. Called by `reports.py`, read by `rows.py`.

One odd event harms no other: it is set aside with its index, its id and the reason. A time that can't be (more than ten
minutes in the future) becomes the time of receipt; what was said is kept in the detail.
"""

import json
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

from runtime.closed_sets import LEVELS
from runtime.texts import clean, parse_time

MOST_EVENTS = 500
LONGEST_MESSAGE, LONGEST_DETAIL, DEEPEST_DETAIL = 65_536, 262_144, 32
_SKEW = timedelta(minutes=10)
_SEVERITIES = {"low": "warning", "critical": "critical"}
_NAMESPACE = uuid.UUID("6f0b7a52-2f0c-5f6e-9f0e-6a3b8d1c4e57")  # of our own, drawn once


class UnreadableReport(ValueError):
    """Nothing of the body can be read: the only reason for a 400."""


class TooManyEvents(ValueError):
    """More than MOST_EVENTS in one body: the client halves it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a tenant, checked: it fits userdb's columns."""

    id: str
    occurred_at: datetime
    task: str
    failure_type: str
    level: str
    message: str
    detail: dict[str, Any] | None
    source: str
    skewed: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that was set aside."""

    index: int
    id: str | None
    reason: str


@dataclass(slots=True)
class Report:
    """One body's events, in its order."""

    events: list[Event] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def _whole(digits: str) -> float:
    """Return the number; infinity, which its event is refused for, where Python would refuse the whole body (4,300 digits)."""
    return int(digits) if len(digits) <= 1000 else float("inf")


def _entries(body: bytes, name: str) -> list[Any]:
    try:
        document = json.loads(body, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise UnreadableReport(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableReport(f"the body is a JSON {type(document).__name__}, not an object")
    entries = document.get(name)
    if not isinstance(entries, list):
        raise UnreadableReport(f'"{name}" is missing or no list')
    if len(entries) > MOST_EVENTS:
        raise TooManyEvents(f'"{name}" holds {len(entries)} entries, more than {MOST_EVENTS}')
    return entries


def _read(entries: list[Any], one: Callable[[Any], Event]) -> Report:
    report = Report()
    for index, entry in enumerate(entries):
        try:
            report.events.append(one(entry))
        except ValueError as error:
            given = entry.get("id") if isinstance(entry, dict) else None
            report.rejected.append(Rejected(index, clean(given)[:64] if isinstance(given, str) else None, str(error)))
    return report


def _text(entry: dict[str, Any], name: str, longest: int, default: str | None = "") -> str:
    value = entry.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise ValueError(f"{name}: is missing or no text")
    text = clean(value).strip() if longest < LONGEST_MESSAGE else clean(value)
    if len(text) > longest:
        raise ValueError(f"{name}: is longer than {longest} characters")
    return text


def _cut(entry: dict[str, Any], name: str, longest: int) -> str:
    """Return the entry's text (of anything else its JSON, of null "") without white space at its ends, cut with a mark."""
    value = entry.get(name)
    if value is None:
        return ""
    text = clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).strip()
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _depth(value: Any) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        item, depth = todo.pop()
        deepest = max(deepest, depth)
        if isinstance(item, (dict, list)):
            todo += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest


def _detail(value: Any) -> dict[str, Any] | None:
    """Return the detail as every database takes it: bounded in size and depth, no NUL, no NaN (MariaDB refuses it)."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("detail: is no object")
    if _depth(value) > DEEPEST_DETAIL:
        raise ValueError(f"detail: is nested deeper than {DEEPEST_DETAIL}")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError("detail: NaN and Infinity are no JSON") from error
    if len(text) > LONGEST_DETAIL:
        raise ValueError(f"detail: is longer than {LONGEST_DETAIL} characters")
    kept: dict[str, Any] = json.loads(clean(text).replace("\\u0000", "\ufffd"))
    return kept


def parse_events(body: bytes, now: datetime) -> Report:
    """Return the events of `POST /api/v1/events`; raise UnreadableReport or TooManyEvents."""
    return _read(_entries(body, "events"), lambda entry: _event(entry, now))


def _event(entry: Any, now: datetime) -> Event:
    if not isinstance(entry, dict):
        raise ValueError("is no object")
    try:
        identifier = str(uuid.UUID(_text(entry, "id", 64, None)))
    except ValueError as error:
        raise ValueError("id: is missing or no UUID") from error
    level = _text(entry, "level", 16, "error")
    if level not in LEVELS:
        raise ValueError(f"level: {level!r} is none of {', '.join(LEVELS)}")
    detail = _detail(entry.get("detail"))
    said = entry.get("occurred_at")
    try:
        occurred = now if said is None else parse_time(said)
    except ValueError as error:
        raise ValueError(f"occurred_at: {error}") from error
    skewed = occurred > now + _SKEW
    if skewed:
        occurred, detail = now, {**(detail or {}), "reported_occurred_at": said}
    texts = (
        _text(entry, "task", 200),
        _text(entry, "failure_type", 64),
        level,
        _text(entry, "message", LONGEST_MESSAGE, None),
    )
    return Event(identifier, occurred, *texts, detail, "gateway_client", skewed)


def parse_exceptions(body: bytes, tenant: str, now: datetime, zone: tzinfo) -> Report:
    """Return the events of `POST /api/exceptions/report/`, the platform's existing body.

    It has no ids: each is a UUID5 over the tenant, the exception's canonical JSON and its ordinal among equals, so that a
    body sent again is known; random where there is no time to tell two equal ones apart. A time without a zone is in `zone`.
    Containers already deployed can't mend what they send: a text that does not fit is cut, the detail holds it whole.
    """
    equals: Counter[str] = Counter()

    def one(entry: Any) -> Event:
        if not isinstance(entry, dict):
            raise ValueError("is no object")
        detail = _detail(entry)  # first: it bounds the depth
        canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        equals[canonical] += 1
        said = entry.get("timestamp")
        moment = _platform_time(said, zone)
        name = f"{tenant}\n{canonical}\n{equals[canonical]}"
        identifier = uuid.uuid4() if moment is None else uuid.uuid5(_NAMESPACE, name)
        skewed = moment is None or abs(moment - now) > _SKEW
        words = filter(
            None, (_cut(entry, "exception_type", 1000), _cut(entry, "exception_message", LONGEST_MESSAGE - 1100))
        )
        return Event(
            str(identifier),
            now if moment is None or skewed else moment,
            _cut(entry, "service_name", 200),
            "exception",
            _SEVERITIES.get(_cut(entry, "severity", 64).lower(), "error"),
            ": ".join(words) or "an exception without type and message",
            detail,
            _cut(entry, "source", 255) or "exceptions",
            skewed and said is not None,
        )

    return _read(_entries(body, "exceptions"), one)


def _platform_time(said: Any, zone: tzinfo) -> datetime | None:
    """Return an ISO 8601 time or Unix seconds, None for what is neither."""
    try:
        if isinstance(said, (int, float)) and not isinstance(said, bool):
            return datetime.fromtimestamp(said, zone)
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
        if moment is None or moment.year < 1000:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return None
