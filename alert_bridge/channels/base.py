"""What every channel shares: its shape, the message it is given, and how a send ends.

A send returns a `Receipt` or raises:

    DeliveryError
    ├── PermanentError   refused for good: the same message will never be taken
    └── TemporaryError   may be taken later, perhaps not before `retry_after` seconds
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from runtime.settings import env_number

REASONS = (
    "connection", "timeout", "tls", "login", "rate_limited", "server_error", "rejected", "redirected", "misconfigured",
    "secret_key", "private_address", "internal",
)  # fmt: skip
"""Why a send failed: a closed set, which is also the metric's label."""

ANSWER_LENGTH = 500
_KEY = 8


def send_deadline() -> float:
    """Return the seconds that one send may take in all, from the connection to the answer (RELAY_SEND_DEADLINE)."""
    return env_number("RELAY_SEND_DEADLINE", 10.0, 1.0, 60.0)


class DeliveryError(Exception):
    """A send failed. `reason` is one of REASONS; `answer` is what the destination said, cut and masked."""

    def __init__(self, reason: str, text: str, status: str = "", retry_after: float | None = None) -> None:
        super().__init__(text)
        self.reason, self.answer, self.status, self.retry_after = reason, text, status, retry_after


class PermanentError(DeliveryError):
    """The destination refused this message for good."""


class TemporaryError(DeliveryError):
    """The destination could not take the message now."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The destination took the message: its code and its words, cut and masked."""

    status: str
    answer: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What a message says to people, in pieces that each channel writes in its own markup. All of it is plain text."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    """(name, value): since when, until when."""
    links: tuple[tuple[str, str], ...] = ()
    """(what is there, URL), the alert's page first."""
    evidence_title: str = ""
    evidence: tuple[str, ...] = ()
    labels_title: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    left_out: str = "…"
    """The mark that something was left out."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready for any channel."""

    key: str
    """Idempotency key: the same at every try."""
    kind: str
    title: str
    text: str
    url: str
    """The alert's page in the admin."""
    document: dict[str, Any]
    """The same for machines: JSON types only."""
    written_at: datetime
    parts: Parts
    thread: str = ""
    """Key of the message that began the conversation, its own when it begins it; "": it belongs to none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a channel's configuration; the admin's form is made of these."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    required: bool = True
    default: str = ""
    choices: tuple[str, ...] = ()


def spellings(secret: str) -> list[str]:
    """Return a secret and, of a URL, the parts that a destination repeats alone: "no such hook: /T0/x", longest first."""
    found = [secret]
    with suppress(ValueError):  # no URL
        parts = urlsplit(secret)
        if parts.netloc:
            found += [f"{parts.path}?{parts.query}", parts.path.strip("/"), parts.query, parts.password or ""]
            # the key alone: /services/T0/B0/KEY, ?access_token=KEY; shorter ones are words such as `send`
            alone = [parts.path.rpartition("/")[2], *(value for _, value in parse_qsl(parts.query))]
            found += [text for text in alone if len(text) >= _KEY]
    return [text for text in found if len(text) > 2]


def shown(answer: str, hidden: Iterable[str]) -> str:
    """Return a destination's answer as it may be kept: one line, cut with a mark, nothing of `hidden` in it."""
    for secret in hidden:
        answer = answer.replace(secret, "***")
    answer = " ".join(answer.replace("\x00", "").split())
    return answer if len(answer) <= ANSWER_LENGTH else answer[:ANSWER_LENGTH] + "…"


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """One kind of destination."""

    name: str
    title: str
    settings: tuple[Setting, ...]
    send: Callable[[Mapping[str, str], Message], Receipt]
    """(values of the settings, secrets included; the message) -> Receipt, or raises DeliveryError."""
    check: Callable[[Mapping[str, str]], None]
    """Raises ValueError that names the setting and says what is wrong with it."""
    parts_of: Callable[[str], list[str]] = spellings
    """A secret -> the texts in which a destination may repeat it, longest first."""
    per_minute: int | None = None
    """How many messages a minute it takes by its documents; None: they name no limit."""

    def shown(self, answer: str, values: Mapping[str, str]) -> str:
        """Return an answer as it may be kept: one line, cut with a mark, no secret of these values in it."""
        secrets = [values.get(setting.name, "") for setting in self.settings if setting.secret]
        return shown(answer, (text for secret in secrets for text in self.parts_of(secret)))
