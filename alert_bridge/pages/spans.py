"""Lengths of time as people say them, and as they write them in a form."""

import re
from datetime import timedelta

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_PARTS = re.compile(r"\s*(\d{1,6})\s*([mhdw])")


def span(length: timedelta) -> str:
    """Return `40 ms`, `1.2 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`; a length below zero (clocks differ) is `0 ms`."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, name, below in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name} {rest} {below}" if rest else f"{whole // large} {name}"
    return "1 min"


def parse(text: str) -> timedelta:
    """Return the length of `30m`, `2h`, `1d12h`, `2w`; ValueError says how it is written."""
    parts = _PARTS.findall(text)
    if not parts or _PARTS.sub("", text).strip():
        raise ValueError("write a length such as 30m, 2h, 1d or 1d12h")
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
