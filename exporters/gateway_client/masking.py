"""Hides secrets in what goes into a report: output, command lines, messages. Called by `events.py` and `evidence.py`.

By pattern (`password=...`, bearer tokens, credentials in URLs, private keys) and by value: what the environment holds under
a name such as DB_PASSWORD is masked wherever it stands. It errs towards masking too much.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache

MASK = "***"
_NAMES = (
    r"(?:pass(?:word|wd|phrase)|\bpass\b|pwd|secret|token|credentials?"
    r"|(?:api|access|private|secret)[_-]?key|authorization)"
)
_SECRET_NAME = re.compile(_NAMES + r"(?![a-z])", re.IGNORECASE)
_NO_SECRET = re.compile(r"_FILE$|^(?:OLD)?PWD$")
_SHORTEST = 6
"""A value of fewer characters is not masked by value: it would be found everywhere."""


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return (
        (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
        (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
        (re.compile(r"(://[^\s/:@]*):[^\s/@]+@"), rf"\1:{MASK}@"),
        (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), MASK),
        (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
        (
            re.compile(
                rf"({_NAMES}[\w-]{{0,40}}[\"']?\s*(?:=>|[=:])\s*)(?!\*\*\*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&\"']+)", re.IGNORECASE
            ),
            rf"\1{MASK}",
        ),
        (re.compile(rf"((?<![\w-])--?[\w-]{{0,40}}{_NAMES}[\w-]{{0,40}}\s+)(?![-*])\S+", re.IGNORECASE), rf"\1{MASK}"),
    )  # fmt: skip


def _values(env: Mapping[str, str]) -> list[str]:
    """Return the environment's secrets, the longest first, so that none hides behind a part of it."""
    found = {v for n, v in env.items() if len(v) >= _SHORTEST and _SECRET_NAME.search(n) and not _NO_SECRET.search(n)}
    return sorted(found, key=len, reverse=True)


def masked(text: str, env: Mapping[str, str] | None = None) -> str:
    """Return the text with `***` for each secret."""
    for value in _values(os.environ if env is None else env):
        text = text.replace(value, MASK)
    for pattern, instead in _patterns():
        text = pattern.sub(instead, text)
    return text


def masked_command(command: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
    """Return the arguments masked, the one after `--password` too."""
    shown: list[str] = []
    hide = False
    for argument in command:
        shown.append(MASK if hide else masked(argument, env))
        hide = argument.startswith("-") and "=" not in argument and _SECRET_NAME.search(argument) is not None
    return shown
