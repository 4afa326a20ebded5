"""One HTTP POST within one deadline, for every channel that speaks HTTP. No redirect is followed, the answer is cut.

Temporary are 408, 425, 429 and 5xx (RFC 9110, RFC 6585), all else that is no 2xx is refused for good.
"""

import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationParseError

from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError, send_deadline
from alert_bridge.channels.deadline import Deadline

logging.getLogger("urllib3").setLevel(logging.INFO)  # its debug lines hold whole paths, which are secrets of channels

_CONNECT, _READ = 3.0, 5.0
_ANSWER_BYTES = 4096
_TEMPORARY = {408: "timeout", 425: "rate_limited", 429: "rate_limited"}


class _Adapter(HTTPAdapter):
    """Shows each connection to the deadline as soon as it is made, before TLS."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._deadline)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _pools(self._deadline)
        return manager


def _pools(deadline: Deadline) -> dict[str, Any]:
    def watched(connection: type[Any], pool: type[Any]) -> type[Any]:
        def _new_conn(self: Any) -> socket.socket:
            made: socket.socket = connection._new_conn(self)
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
    deadline = deadline or send_deadline()
    limits = (min(_CONNECT, deadline), min(_READ, deadline))
    with Deadline(deadline) as watch, requests.Session() as session:
        session.mount("http://", _Adapter(watch))
        session.mount("https://", _Adapter(watch))
        try:
            response = session.post(
                url, data=body, headers=dict(headers), timeout=limits, allow_redirects=False, stream=True
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
    return _judge(response, answer)


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


def _judge(response: requests.Response, answer: str) -> Receipt:
    code = response.status_code
    if 200 <= code < 300:
        return Receipt(str(code), answer)
    if code in _TEMPORARY or code >= 500:
        wait = _retry_after(response.headers.get("Retry-After"))
        raise TemporaryError(_TEMPORARY.get(code, "server_error"), answer, str(code), wait)
    raise PermanentError("redirected" if 300 <= code < 400 else "rejected", answer, str(code))
