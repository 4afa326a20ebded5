"""Why a request failed: a status or an exception as one reason out of a closed set. Called by `middleware.py`."""

from asyncio import CancelledError

from django.core.exceptions import RequestAborted
from django.http import UnreadablePostError

_BY_CODE = {
    401: "auth",
    403: "auth",
    407: "auth",
    408: "timeout",
    504: "timeout",
    502: "upstream",
    503: "refused",
    499: "client_gone",
}
_GONE = (CancelledError, GeneratorExit, RequestAborted, UnreadablePostError)
"""An ASGI server cancels the view of a client that has gone, a WSGI server closes its body; reading its body fails."""


def failure_of_code(code: int) -> str | None:
    """Return why a request with this status failed, None when it did not: a client's own mistake is no failure of ours."""
    return _BY_CODE.get(code) or ("error" if code >= 500 else None)


def failure_of_exception(error: BaseException, in_body: bool = False) -> str:
    """Return the reason that an exception of a view, or (`in_body`) of its streamed body, stands for.

    HTTP clients (requests, urllib3, httpx) raise errors of their own, whose chain ends in the socket's. A body is only
    read by the server, never written to the client by itself: a broken connection in there is upstream's.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, _GONE):
            return "client_gone"
        if isinstance(cause, TimeoutError):
            return "timeout"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        if isinstance(cause, (BrokenPipeError, ConnectionResetError)):
            return "client_gone" if cause is error and not in_body else "upstream"
        if isinstance(cause, ConnectionError):
            return "upstream"
        cause = cause.__cause__ or cause.__context__
    return "error"
