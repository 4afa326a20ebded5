"""Matchers over labels in Alertmanager's own syntax: `name="x"`, `!=`, `=~`, `!~`; a missing label equals "".

In: the text of a channel. Out: a tuple of matchers, or ValueError that names the line and what is wrong. Regular
expressions are anchored at both ends (source: Alertmanager docs, configuration, "matcher").
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from django.core.exceptions import ValidationError

_LINE = re.compile(r'\s*([A-Za-z_:][A-Za-z0-9_:]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^"\s,{}]*)\s*')
_ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n"}


class Matcher(NamedTuple):
    """One condition on one label."""

    name: str
    operator: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        actual = labels.get(self.name, "")
        if self.operator in ("=", "!="):
            return (actual == self.value) == (self.operator == "=")
        return bool(re.fullmatch(self.value, actual)) == (self.operator == "=~")


def parse(text: str) -> tuple[Matcher, ...]:
    """Return the matchers, one a line (blank lines are none); raise ValueError that names the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f'line {number}: {line.strip()!r} is no matcher such as severity=~"error|critical"')
        name, operator, value = parts.groups()
        if value.startswith('"'):
            value = re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), value[1:-1])
        if operator in ("=~", "!~"):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"line {number}: {value!r} is no regular expression: {error}") from error
        found.append(Matcher(name, operator, value))
    return tuple(found)


def wants(matchers: tuple[Matcher, ...], labels: Mapping[str, str]) -> bool:
    """Return whether all matchers hold. `Watchdog` is wanted only by a matcher that holds and speaks of alertname."""
    if not all(matcher.holds(labels) for matcher in matchers):
        return False
    named = any(m.name == "alertname" and m.operator in ("=", "=~") for m in matchers)
    return named or labels.get("alertname") != "Watchdog"


def validate_matchers(text: str) -> None:
    """For forms: raise ValidationError with parse's own words."""
    try:
        parse(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error
