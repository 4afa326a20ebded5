"""E-mail by SMTP (RFC 5321): plain, STARTTLS or TLS, with a Message-ID that is the same at every try (RFC 5322, 3.6.4).

4yz answers and a failed login are temporary (somebody mends a password), 5yz to the message or to all recipients are not.
"""

import hashlib
import smtplib
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Any

from alert_bridge.channels.base import (
    ChannelKind,
    DeliveryError,
    Message,
    PermanentError,
    Receipt,
    Setting,
    TemporaryError,
    send_deadline,
)
from alert_bridge.channels.deadline import Deadline
from alert_bridge.channels.page import page

_SECURITY = ("starttls", "tls", "none")
_READ = 5.0
"""Seconds without a byte; the deadline is for the whole."""

SETTINGS = (
    Setting("host", "SMTP server"),
    Setting("port", "Port", default="587"),
    Setting(
        "security",
        "Security",
        "starttls (587), tls (465) or none.",
        default="starttls",
        choices=_SECURITY,
    ),
    Setting("username", "User name", "Empty: no login.", required=False),
    Setting("password", "Password", secret=True, required=False),
    Setting("sender", "From", "One address."),
    Setting("recipients", "To", "Addresses, separated by commas."),
)


def _addresses(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def check(values: Mapping[str, str]) -> None:
    """Raise ValueError when the host, the port, the security or an address is none."""
    if not values["host"].strip():
        raise ValueError("host: write the SMTP server's name")  # "" would be this machine
    if values["security"] not in _SECURITY:
        raise ValueError(f"security: write {', '.join(_SECURITY)}")  # a misspelt one must not mean none
    if not values["port"].isdecimal() or not 0 < int(values["port"]) < 65536:
        raise ValueError("port: write a number from 1 to 65535")
    if len(_addresses(values["sender"])) > 1:
        raise ValueError("sender: write one address")
    for name in ("sender", "recipients"):
        for text in _addresses(values[name]) or [""]:
            try:
                domain = Address(addr_spec=text).domain
            except (HeaderParseError, ValueError, IndexError) as error:
                raise ValueError(f"{name}: {text!r} is no e-mail address") from error
            if not domain:
                raise ValueError(f"{name}: {text!r} has no domain")


def _message_id(key: str, domain: str) -> str:
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def compose(values: Mapping[str, str], message: Message) -> EmailMessage:
    """Return the e-mail; raises nothing for values that `check` has passed."""
    mail = EmailMessage(policy=SMTP_POLICY)
    domain = values["sender"].rpartition("@")[2]
    mail["Message-ID"] = _message_id(message.key, domain)
    if message.thread not in ("", message.key):  # one conversation an episode (RFC 5322, 3.6.4)
        mail["In-Reply-To"] = mail["References"] = _message_id(message.thread, domain)
    mail["Date"] = format_datetime(message.written_at)
    mail["From"] = values["sender"]
    mail["To"] = ", ".join(_addresses(values["recipients"]))
    mail["Subject"] = " ".join(message.title.split())
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer by a robot
    mail["X-Mission-Idempotency-Key"] = message.key
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(page(message.parts), subtype="html", cte="quoted-printable")
    # a boundary of its own making, so that every try is the same to the byte
    mail.set_boundary(f"=_{hashlib.sha256(message.key.encode()).hexdigest()[:40]}")
    return mail


class _Plain(smtplib.SMTP):
    """Shows its connection to the deadline."""

    watch: Deadline

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self.watch.watch(made)
        return made


class _Tls(smtplib.SMTP_SSL, _Plain):
    """The same with TLS from the first byte."""


def send(values: Mapping[str, str], message: Message, deadline: float | None = None) -> Receipt:
    """Deliver to the SMTP server; raise DeliveryError. Recipients that it refused while it took others are named.

    No cause is chained: smtplib's errors repeat what the server said, which may be the password.
    """
    deadline = deadline or send_deadline()
    with Deadline(deadline) as watch:
        try:
            return _send(values, compose(values, message), watch, min(_READ, deadline))
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            if watch.passed or isinstance(error, TimeoutError):
                # whatever smtplib made of a reply that was cut in the middle
                raise TemporaryError("timeout", f"not finished within {deadline:g} s") from None
            raise _judge(error) from None


def _judge(error: Exception) -> DeliveryError:
    """Return what an error of smtplib, of TLS or of the network means for the message."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return TemporaryError("login", _said(error), str(error.smtp_code))
        case smtplib.SMTPRecipientsRefused():
            return _refused(*min(error.recipients.values()))  # the lowest code: one that may be taken later, if any
        case smtplib.SMTPConnectError() | smtplib.SMTPHeloError():  # the server refuses us, not the message
            return TemporaryError("server_error", _said(error), str(error.smtp_code))
        case smtplib.SMTPResponseException():
            return _refused(error.smtp_code, error.smtp_error)
        case ssl.SSLError():
            return TemporaryError("tls", f"TLS failed: {error.reason}")
        case smtplib.SMTPNotSupportedError():
            return PermanentError("misconfigured", f"the server does not offer it: {error}")
        case UnicodeError():
            return PermanentError("misconfigured", "user name, password or host: characters that SMTP can't carry")
        case _:
            return TemporaryError("connection", f"no connection: {error}")


def _said(error: smtplib.SMTPResponseException) -> str:
    return error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)


def _refused(code: int, answer: Any) -> DeliveryError:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    if 500 <= code < 600:
        return PermanentError("rejected", text, str(code))
    return TemporaryError("server_error", text, str(code))


def _send(values: Mapping[str, str], mail: EmailMessage, watch: Deadline, silence: float) -> Receipt:
    tls = ssl.create_default_context()
    server = _Tls(timeout=silence, context=tls) if values["security"] == "tls" else _Plain(timeout=silence)
    server.watch = watch
    server._host = values["host"]  # type: ignore[attr-defined]  # what TLS verifies; connect() does not set it
    try:
        code, greeting = server.connect(values["host"], int(values["port"]))
        if code != 220:
            raise smtplib.SMTPConnectError(code, greeting)
        if values["security"] == "starttls":
            server.starttls(context=tls)
        if values.get("username"):
            server.login(values["username"], values.get("password", ""))
        refused = server.send_message(mail)
        with suppress(OSError, smtplib.SMTPException):  # the message is taken, whatever becomes of the farewell
            server.quit()
        answer = f"refused for {', '.join(refused)}" if refused else "accepted"
        return Receipt("250", answer)
    finally:
        server.close()


KIND = ChannelKind("email", "E-mail (SMTP)", SETTINGS, send, check)
