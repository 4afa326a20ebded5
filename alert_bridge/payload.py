"""What Alertmanager said: the webhook's body, version 4, as plain values. Called by `webhook.py`, read by `intake.py`.

One odd entry harms no other (measured: after a 4xx Alertmanager comes again at each group_interval, and a firing that
resolves meanwhile is lost for good): what can't be used is set aside with its index and the reason. Unknown fields and
versions are accepted: the raw body is kept.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from runtime.texts import clean, parse_time

FINGERPRINT = re.compile(r"[\x21-\x7e]{1,64}")


class UnreadableBody(ValueError):
    """The body is no JSON object: the only reason for a 400."""


@dataclass(frozen=True, slots=True)
class AlertWord:
    """What one entry of `alerts` says. Times are UTC, cut to milliseconds (the API has three digits, webhooks up to nine)."""

    fingerprint: str
    firing: bool
    start: datetime
    end: datetime | None
    """None: still firing, or ended at a time that was not said."""
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str


@dataclass(frozen=True, slots=True)
class OddEntry:
    """An entry that was set aside."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook: its words in the order of the body."""

    receiver: str = ""
    group_key: str = ""
    version: str = ""
    words: list[AlertWord] = field(default_factory=list)
    odd: list[OddEntry] = field(default_factory=list)
    entries: int = 0
    error: str = ""
    """Why nothing of it could be applied; "" when it could."""


def parse_start_or_end(text: Any) -> datetime | None:
    """Return an RFC 3339 time in UTC cut to milliseconds; None for Go's zero time; ValueError for anything else."""
    if isinstance(text, str) and text.startswith("0001-"):
        return None
    moment = parse_time(text)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _texts(value: Any, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    # a value that is no text is odd, but no reason to lose the alert: its JSON is kept
    return {clean(k): clean(v if isinstance(v, str) else json.dumps(v)) for k, v in value.items()}


def _word(entry: Any) -> AlertWord:
    if not isinstance(entry, dict):
        raise ValueError("is no object")
    facts = _facts(entry.get("fingerprint"), entry.get("status"), entry.get("startsAt"), entry.get("endsAt"))
    url = entry.get("generatorURL")
    labels, annotations = _texts(entry.get("labels"), "labels"), _texts(entry.get("annotations"), "annotations")
    return AlertWord(*facts, labels, annotations, clean(url) if isinstance(url, str) else "")


def _facts(fingerprint: Any, status: Any, starts_at: Any, ends_at: Any) -> tuple[str, bool, datetime, datetime | None]:
    """Return whose word it is, whether it fires, start and end; ValueError says what is wrong with one of them."""
    if not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
        raise ValueError("fingerprint is missing or is no text of 1 to 64 ASCII characters")
    if status not in ("firing", "resolved"):
        raise ValueError(f"status: {status!r:.40} is neither firing nor resolved")
    try:
        start = parse_start_or_end(starts_at)
    except ValueError as error:
        raise ValueError(f"startsAt: {error}") from error
    if start is None:
        raise ValueError("startsAt is the zero time")
    end = None
    if status == "resolved" and ends_at is not None:
        try:
            end = parse_start_or_end(ends_at)
        except ValueError as error:
            raise ValueError(f"endsAt: {error}") from error
    return fingerprint, status == "firing", start, end


def _number(text: str) -> int | str:
    """Return an integer of JSON; as text where it is longer than Python converts (4,300 digits)."""
    return int(text) if len(text) <= 4000 else text


def _text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else ""


class _Entry(msgspec.Struct, gc=False):
    """One entry as Alertmanager writes it."""

    status: str
    fingerprint: str
    starts_at: str = msgspec.field(name="startsAt")
    ends_at: str | None = msgspec.field(name="endsAt", default=None)
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    generator_url: str = msgspec.field(name="generatorURL", default="")


class _Body(msgspec.Struct, gc=False):
    alerts: list[_Entry]
    receiver: str = ""
    group_key: str = msgspec.field(name="groupKey", default="")
    version: str = ""


_DECODER = msgspec.json.Decoder(_Body)
# a NUL or half of a surrogate pair can stand in a body only so; a whole pair is rare enough
_ESCAPES = (b"\\u0000", b"\\ud", b"\\uD")


def _usual(body: bytes) -> Webhook | None:
    """Return what a body says in which nothing is odd, in a quarter of the time; None: it is to be looked at entry by entry."""
    if any(escape in body for escape in _ESCAPES):
        return None
    try:
        read = _DECODER.decode(body)
        words = [
            AlertWord(
                *_facts(entry.fingerprint, entry.status, entry.starts_at, entry.ends_at),
                entry.labels or {},
                entry.annotations or {},
                entry.generator_url,
            )
            for entry in read.alerts
        ]
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and UTF-8's
        return None
    return Webhook(read.receiver, read.group_key, read.version, words, entries=len(words))


def parse(body: bytes) -> Webhook:
    """Return what the body says; raise UnreadableBody when it is no JSON object. Never raises for anything inside."""
    return _usual(body) or _parse(body)


def _parse(body: bytes) -> Webhook:
    try:
        document = json.loads(body, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise UnreadableBody(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableBody(f"the body is a JSON {type(document).__name__}, not an object")
    entries = document.get("alerts")
    receiver, group_key = _text(document.get("receiver")), _text(document.get("groupKey"))
    version = _text(document.get("version"))
    if not isinstance(entries, list):
        missing = '"alerts" is missing' if entries is None else '"alerts" is no list'
        return Webhook(receiver, group_key, version, error=missing)
    words, odd = [], []
    for index, entry in enumerate(entries):
        try:
            words.append(_word(entry))
        except ValueError as error:
            odd.append(OddEntry(index, f"alerts[{index}]: {error}"))
        except RecursionError:  # what was just read is too deep to be written
            odd.append(OddEntry(index, f"alerts[{index}]: is nested too deep"))
    return Webhook(receiver, group_key, version, words, odd, len(entries))
