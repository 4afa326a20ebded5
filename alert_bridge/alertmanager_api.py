"""One request to one Alertmanager within one deadline, answer in JSON. Called by `alertmanagers.py`; `previews.py` asks
Prometheus with it, whose API is spoken in the same way.

    AlertmanagerError
    ├── NoAnswer     nothing usable came: no connection, no answer in time, 5xx, an answer that is no Alertmanager's
    │   └── TooMuch  more than may be read
    └── Refused      it answered and said no: its own words

No text of an error holds a password: it is taken off the URL before anything is asked.
"""

import base64
import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from alert_bridge.channels.deadline import Deadline
from runtime.settings import SettingsError
from runtime.texts import clean

URL_LENGTH = 255
_WORDS = 300
_WRONG_URL = (
    "ALERTMANAGER_URL: write http://host:9093 or https://user:password@host/prefix, several with commas between"
)
_BODY_BYTES = 128 * 1024 * 1024
"""10,000 alerts are 10 MB; nobody's list may fill our memory."""


class AlertmanagerError(Exception):
    """An Alertmanager did not do what it was asked for."""


class NoAnswer(AlertmanagerError):
    """It gave no answer that can be used: it may not have heard the question."""


class TooMuch(NoAnswer):
    """Its answer would fill our memory."""


class Refused(AlertmanagerError):
    """It answered and said no."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One configured Alertmanager."""

    url: str
    """Without user and password: as it is shown, logged and stored."""
    authorization: str = field(default="", repr=False)
    """The header's value, which is a secret."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of 2xx."""

    document: Any
    at: datetime
    """When it was given, by the Alertmanager's own clock; by ours where it does not say."""


def peer_of(text: str, wrong: str = _WRONG_URL) -> Peer:
    """Return the peer of a base URL such as https://user:password@host:9093/prefix; SettingsError says what is `wrong`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise SettingsError(wrong) from None  # its text would hold the password
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError(wrong)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = f"{host}:{port}" if port else host
    url = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    if len(url) > URL_LENGTH:
        raise SettingsError(f"{wrong.partition(':')[0]}: an address is longer than {URL_LENGTH} characters")
    if parts.username is None:
        return Peer(url)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Peer(url, "Basic " + base64.b64encode(login.encode()).decode())


class Conversation:
    """`with Conversation(peer, 5) as c: c.get("/alerts")`: all its requests within one deadline, on one connection."""

    def __init__(self, peer: Peer, seconds: float, api: str = "/api/v2", most: int = _BODY_BYTES) -> None:
        self._peer, self._seconds, self._api, self._most = peer, seconds, api, most
        self._deadline = Deadline(seconds)
        parts = urlsplit(peer.url)
        host, self._prefix = parts.hostname or "", parts.path
        self._connection: http.client.HTTPConnection
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)
            self._connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=self._tls)
        else:
            self._connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)

    def __enter__(self) -> "Conversation":
        self._deadline.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._connection.close()
        self._deadline.__exit__(*about)

    def get(self, path: str) -> Reply:
        """Return the answer of GET <base><api><path>; raise AlertmanagerError."""
        return self._ask("GET", path, None)

    def post(self, path: str, document: Mapping[str, Any]) -> Reply:
        """Return the answer of POST <base><api><path>; raise AlertmanagerError."""
        return self._ask("POST", path, json.dumps(document).encode())

    def delete(self, path: str) -> Reply:
        """Return the answer of DELETE <base><api><path>; raise AlertmanagerError."""
        return self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, body: bytes | None) -> Reply:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._peer.authorization:
            headers["Authorization"] = self._peer.authorization
        try:
            if self._connection.sock is None:
                self._connection.sock = self._connect()
            self._connection.request(method, f"{self._prefix}{self._api}{path}", body, headers)
            response = self._connection.getresponse()
            # what it announces is not even begun to be read when it is too much
            content = b"" if (response.length or 0) > self._most else response.read(self._most + 1)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            late = isinstance(error, TimeoutError)
            # the kind alone: a text may repeat what stands in the URL
            raise self._silent("" if late else _kind(error)) from None
        if (response.length or 0) > self._most or len(content) > self._most:
            response.close()  # what is not read holds the socket
            raise TooMuch(f"{self._peer.url} answers with more than {self._most >> 20} MB")
        if response.length:  # a body that broke off reads like one that ended
            raise self._silent("the answer broke off")
        return self._judged(response, content)

    def _silent(self, why: str) -> NoAnswer:
        if self._deadline.passed or not why:
            why = f"not finished within {self._seconds:g} s"
        return NoAnswer(f"{self._peer.url} does not answer: {why}")

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._connection.host, self._connection.port), self._seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline.watch(plain)
        return self._tls.wrap_socket(plain, server_hostname=self._connection.host) if self._tls else plain

    def _judged(self, response: http.client.HTTPResponse, content: bytes) -> Reply:
        url = self._peer.url
        if not 200 <= response.status < 300:
            words = _words(content)
            # 0.25 says 500 where 0.33 says 404
            unknown = response.status == 500 and "not found" in words
            refused = unknown or (400 <= response.status < 500 and response.status not in (408, 425, 429))
            kind: type[AlertmanagerError] = Refused if refused else NoAnswer
            raise kind(f"{url} answers {response.status}: {words or response.reason}")
        try:
            document = json.loads(content) if content else None
        except (ValueError, RecursionError):
            raise NoAnswer(f"{url} answers with something that is no JSON: is this the right address?") from None
        return Reply(document, _date(response.getheader("Date")))


def _words(content: bytes) -> str:
    """Return what an answer says to a person: the message of its JSON, else its beginning, on one line."""
    text = content[:4096].decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = text
    if isinstance(said, dict):
        said = said.get("message") or said.get("error") or text  # the second is Prometheus' word
    return " ".join(clean(str(said)).split())[:_WORDS]


def _kind(error: Exception) -> str:
    return f"{type(error).__name__} {getattr(error, 'strerror', None) or ''}".strip()


def _date(text: str | None) -> datetime:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return datetime.now(UTC)
    return moment.replace(tzinfo=moment.tzinfo or UTC)
