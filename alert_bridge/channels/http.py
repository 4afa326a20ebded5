"""One HTTP request within one deadline, for every channel that speaks HTTP and for the heartbeat.

No redirect is followed, the answer is cut. Temporary are 408, 425, 429 and 5xx (RFC 9110, RFC 6585), all else that is no 2xx
is refused for good.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NewConnectionError

from alert_bridge.channels.addresses import checked as addresses_of
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError, send_deadline
from alert_bridge.channels.deadline import Deadline
from runtime.settings import Secret

logging.getLogger("urllib3").setLevel(logging.INFO)  # its debug lines hold whole paths, which are secrets of channels

PROXY = Secret("CHANNEL_PROXY")
_CONNECT, _READ = 3.0, 5.0
_ANSWER_BYTES = 4096
_TEMPORARY = {408: "timeout", 425: "rate_limited", 429: "rate_limited"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said to a POST."""

    status: int
    text: str
    """The beginning of the body."""
    retry_after: float | None
    """Seconds, when it says so."""


class _Adapter(HTTPAdapter):
    """Connects to checked addresses alone, and shows each connection to the deadline as soon as it is made, before TLS."""

    def __init__(self, deadline: Deadline, anywhere: bool) -> None:
        self._deadline, self._how = deadline, _connect if anywhere else _connect_checked
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._deadline, self._how)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _pools(self._deadline, _connect)
        return manager


def _connect(connection: Any, connect: Callable[[Any], socket.socket]) -> socket.socket:
    """Connect wherever it is: to the proxy, which decides what may be reached, or to what the operator has set."""
    return connect(connection)


def _connect_checked(connection: Any, connect: Callable[[Any], socket.socket]) -> socket.socket:
    """Connect to the first of the host's checked addresses that answers; TLS verifies the name all the same."""
    name = connection._dns_host
    addresses = addresses_of(name, connection.port)
    try:
        for address in addresses[:-1]:
            connection._dns_host = address
            with suppress(
                NewConnectionError, ConnectTimeoutError
            ):  # the next one may answer, the last one's error counts
                return connect(connection)
        connection._dns_host = addresses[-1]
        return connect(connection)
    finally:
        connection._dns_host = name


def _pools(deadline: Deadline, how: Callable[[Any, Callable[[Any], socket.socket]], socket.socket]) -> dict[str, Any]:
    def watched(connection: type[Any], pool: type[Any]) -> type[Any]:
        def _new_conn(self: Any) -> socket.socket:
            made = how(self, connection._new_conn)
            deadline.watch(made)
            return made

        return type("Pool", (pool,), {"ConnectionCls": type("Connection", (connection,), {"_new_conn": _new_conn})})

    return {
        "http": watched(HTTPConnection, HTTPConnectionPool),
        "https": watched(HTTPSConnection, HTTPSConnectionPool),
    }


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3); None when it says neither."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def post(url: str, body: bytes, headers: Mapping[str, str], deadline: float | None = None) -> Receipt:
    """POST once; return the Receipt of a 2xx, raise PermanentError or TemporaryError. No text of it holds the URL."""
    return judge(exchange(url, body, headers, deadline))


def _session() -> requests.Session:
    """Return a session that the environment's proxies and .netrc mean nothing to: a proxy would look names up unchecked."""
    session = requests.Session()
    session.trust_env = False
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    for proxy in PROXY.values()[:1]:
        session.proxies = {"http": proxy, "https": proxy}
    return session


def exchange(url: str, body: bytes, headers: Mapping[str, str], deadline: float | None = None) -> Reply:
    """POST once and return what was said, whatever the status; raise DeliveryError when nothing was. No URL in its text."""
    return _exchange("POST", url, body, headers, deadline or send_deadline(), anywhere=False)


def call(url: str, deadline: float) -> Reply:
    """GET an address of the operator's own choice, private ones too; otherwise as `exchange`."""
    return _exchange("GET", url, None, {"User-Agent": "mission-monitor"}, deadline, anywhere=True)


def _exchange(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], deadline: float, anywhere: bool
) -> Reply:
    limits = (min(_CONNECT, deadline), min(_READ, deadline))
    with Deadline(deadline) as watch, _session() as session:
        session.mount("http://", _Adapter(watch, anywhere))
        session.mount("https://", _Adapter(watch, anywhere))
        try:
            response = session.request(
                method, url, data=body, headers=dict(headers), timeout=limits, allow_redirects=False, stream=True
            )
            answer = _read(response)
        except requests.exceptions.SSLError as error:
            raise TemporaryError("timeout" if watch.passed else "tls", "TLS failed: " + _why(error)) from None
        except requests.exceptions.Timeout:
            raise TemporaryError("timeout", "no answer in time") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise PermanentError("misconfigured", "the URL can't be used: write http:// or https://") from None
        except requests.exceptions.InvalidHeader:
            raise PermanentError("misconfigured", "a header's value can't be sent") from None
        except requests.exceptions.RequestException as error:
            if watch.passed:
                raise TemporaryError("timeout", f"not finished within {deadline:g} s") from None
            raise TemporaryError("connection", "no connection: " + _why(error)) from None
        except (LocationParseError, UnicodeError):  # a host that IDNA can't write; the text would hold the URL
            raise PermanentError("misconfigured", "the URL's host is no name") from None
    return Reply(response.status_code, answer, _retry_after(response.headers.get("Retry-After")))


def _read(response: requests.Response) -> str:
    """Return the beginning of the answer. The status was said: a body that breaks off or dribbles does not take it back."""
    kept = b""
    with suppress(requests.exceptions.RequestException):
        for part in response.iter_content(1024):
            kept += part
            if len(kept) >= _ANSWER_BYTES:
                break
    response.close()
    return kept[:_ANSWER_BYTES].decode("utf-8", "replace")


def _why(error: BaseException) -> str:
    """Return the innermost cause's kind: its text would hold the URL."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return f"{type(error).__name__} {getattr(error, 'strerror', '') or ''}".strip()


def judge(reply: Reply) -> Receipt:
    """Return the Receipt of a 2xx; raise what every other status means."""
    code = reply.status
    if 200 <= code < 300:
        return Receipt(str(code), reply.text)
    if code in _TEMPORARY or code >= 500:
        raise TemporaryError(_TEMPORARY.get(code, "server_error"), reply.text, str(code), reply.retry_after)
    raise PermanentError("redirected" if 300 <= code < 400 else "rejected", reply.text, str(code))


def check_url(name: str, url: str) -> None:
    """Raise ValueError, which names the setting, when a URL is none."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name}: write http://host/path or https://host/path")
