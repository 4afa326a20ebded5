"""Streamed answers: a request is over when its body is closed, and the body says how it ended. Called by `middleware.py`.

In: a response and what to call at its end. Out: the same response, its iterator in a wrapper. A body that is closed before its
end had a client that went away; one that raises says why by its exception.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.http import FileResponse, HttpRequest, StreamingHttpResponse

from exporters.route_management.outcomes import failure_of_exception

Ended = Callable[[str | None], None]
"""Takes the reason why the request failed, None when the body came to its end."""


class _End:
    """The end of one body, told once."""

    def __init__(self, ended: Ended, complete: bool) -> None:
        self._ended: Ended | None = ended
        self._reason = None if complete else "client_gone"

    def reached(self) -> None:
        self._reason = None

    def failed(self, error: BaseException) -> None:
        self._reason = failure_of_exception(error, in_body=True)

    def close(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._reason)

    def __del__(self) -> None:
        self.close()  # a server whose connection broke may drop the response without closing it


class _Body(_End):
    """A body of a WSGI server."""

    def __init__(self, parts: Iterator[bytes], ended: Ended, complete: bool) -> None:
        super().__init__(ended, complete)
        self._parts = parts

    def __iter__(self) -> "_Body":
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            self.reached()
            raise
        except BaseException as error:
            self.failed(error)
            raise


class _AsyncBody(_End):
    """A body of an ASGI server."""

    def __init__(self, parts: AsyncIterator[bytes], ended: Ended, complete: bool) -> None:
        super().__init__(ended, complete)
        self._parts = parts

    def __aiter__(self) -> "_AsyncBody":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._parts)
        except StopAsyncIteration:
            self.reached()
            raise
        except BaseException as error:
            self.failed(error)
            raise


def watch(request: HttpRequest, response: StreamingHttpResponse, ended: Ended) -> None:
    """Call `ended` once when the response's body is closed."""
    complete = request.method == "HEAD"  # nothing of its body is sent
    if isinstance(response, FileResponse) and response.file_to_stream and "wsgi.file_wrapper" in request.META:
        # the server sends the file by itself (sendfile): only its close is seen, and that comes at the end
        response._resource_closers.append(_End(ended, complete=True).close)  # type: ignore[attr-defined]
        return
    # the iterator itself: the property's holds the response, and a circle would keep one that the server has dropped
    content: Any = response._iterator  # type: ignore[attr-defined]
    response.streaming_content = (_AsyncBody if response.is_async else _Body)(content, ended, complete)
