"""Patterns that name a failure by what the program said: read from files, documented in `failures.rules`.

In: the built-in file and a user's own, whose rules come first. Out: rules in order. A wrong line is a `RulesError` with file,
line, column and the rule's name, when the run starts and not at the first failure. Called by `runs.py` and `cli.py`.
"""

import re
from pathlib import Path
from typing import NamedTuple

from runtime.closed_sets import FAILURE_TYPES
from runtime.settings import SettingsError

_BUILTIN = Path(__file__).with_name("failures.rules")
_LINE = re.compile(r"(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(.*\S)[ \t]*")
_WHEN = ("failed", "always")


class RulesError(SettingsError):
    """A rules file can't be used; the text says where and why."""


class Rule(NamedTuple):
    """One pattern and what it means."""

    name: str
    failure_type: str
    always: bool
    pattern: re.Pattern[str]


def parse(text: str, path: str | Path) -> list[Rule]:
    """Return the rules of one file; raise RulesError at its first wrong line."""
    return [
        _rule(line, f"{path}:{number}")
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _rule(line: str, place: str) -> Rule:
    match = _LINE.fullmatch(line)
    if match is None:
        raise RulesError(f"{place}:1: {line.strip()!r:.80} is not NAME FAILURE_TYPE WHEN PATTERN")
    name, failure_type, when, pattern = match.groups()
    if failure_type not in FAILURE_TYPES:
        raise RulesError(
            f"{place}:{match.start(2) + 1}: {name}: {failure_type!r} is none of {', '.join(FAILURE_TYPES)}"
        )
    if when not in _WHEN:
        raise RulesError(f"{place}:{match.start(3) + 1}: {name}: {when!r} is neither failed nor always")
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        column = match.start(4) + 1 + (error.pos or 0)
        raise RulesError(f"{place}:{column}: {name}: the pattern {pattern!r} is wrong: {error.msg}") from error
    except RecursionError as error:
        raise RulesError(f"{place}:{match.start(4) + 1}: {name}: the pattern is nested too deeply") from error
    if compiled.search("") is not None:
        raise RulesError(f"{place}:{match.start(4) + 1}: {name}: the pattern {pattern!r} fits an empty output")
    return Rule(name, failure_type, when == "always", compiled)


def read(path: Path) -> list[Rule]:
    """Return a file's rules; RulesError also when it can't be read."""
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error


def builtin() -> list[Rule]:
    """Return our own rules; read when a run has failed, never before."""
    return read(_BUILTIN)
