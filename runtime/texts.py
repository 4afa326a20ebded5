"""Texts and times that strangers send, as every database takes them. Called by the webhook's and the reports' parsers."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):([0-5]\d))", re.ASCII
)

# as Go writes it in UTC; Python's own parser takes it in a tenth of the time
_USUAL = re.compile(r"[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", re.ASCII)


def clean(text: str) -> str:
    """Return text that every database takes: no NUL, no lone surrogate."""
    if (
        text.isascii()
    ):  # known without a look at its characters: most texts are, and this is called for each of a webhook's
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def parse_time(text: Any) -> datetime:
    """Return an RFC 3339 time in UTC, cut to microseconds; ValueError says what is wrong with it."""
    if isinstance(text, str) and _USUAL.fullmatch(text):
        with suppress(ValueError):  # a leap second, a 31st of April: looked at below
            return datetime.fromisoformat(text)
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r:.60} is no RFC 3339 time")
    *numbers, fraction, _, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = map(int, numbers)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    microseconds = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        # RFC 3339 allows a leap second, Python does not: it counts as the second before
        second = 59 if second == 60 else second
        moment = datetime(year, month, day, hour, minute, second, microseconds, timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r:.60} is no time: {error}") from error
    if moment.year < 1000:
        raise ValueError(f"{text!r:.60} is before the year 1000")  # MySQL's DATETIME begins there
    return moment
