"""A request is over when its body is closed, under WSGI and ASGI; how it ended says its outcome."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import waitress
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse, UnreadablePostError
from django.test import RequestFactory
from django.urls import path
from prometheus_client import REGISTRY

from exporters.route_management import known_tenants
from exporters.route_management.middleware import RequestMetrics
from exporters.route_management.outcomes import failure_of_exception
from userdb.models import Tenant

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.urls(__name__)]
MIDDLEWARE = "exporters.route_management.middleware.RequestMetrics"


def parts() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


def breaking(error: BaseException) -> Iterator[bytes]:
    yield b"one"
    raise error


async def slowly() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.Event().wait()


async def quickly() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


async def forever(request: HttpRequest) -> HttpResponse:
    await asyncio.Event().wait()
    return HttpResponse()


async def late(request: HttpRequest) -> HttpResponse:
    raise TimeoutError


urlpatterns = [
    path("late", late),
    path("stream", lambda request: StreamingHttpResponse(parts())),
    path("file", lambda request: FileResponse(Path(__file__).open("rb"))),  # noqa: SIM115
    path("slow", lambda request: StreamingHttpResponse(slowly())),
    path("quick", lambda request: StreamingHttpResponse(quickly())),
    path("plain", lambda request: HttpResponse(b"all")),
    path("forever", forever),
]


@pytest.fixture(autouse=True)
def _middleware(settings: Any) -> Iterator[None]:
    settings.MIDDLEWARE = [MIDDLEWARE]
    settings.MISSION_TENANT_HOOK = f"{__name__}.everybody_is_alpha"
    Tenant.objects.create(name="alpha")
    known_tenants.read()
    yield
    known_tenants._names = frozenset()


def everybody_is_alpha(request: HttpRequest) -> str:
    return "alpha"


def under_way() -> float:
    return REGISTRY.get_sample_value("mission_gateway_requests_in_progress", {"tenant": "alpha"}) or 0.0


def answered() -> float:
    return REGISTRY.get_sample_value("mission_gateway_request_duration_seconds_count", {"tenant": "alpha"}) or 0.0


def failed(reason: str) -> float:
    labels = {"tenant": "alpha", "reason": reason}
    return REGISTRY.get_sample_value("mission_gateway_request_failures_total", labels) or 0.0


def failures() -> dict[str, float]:
    return {reason: failed(reason) for reason in ("timeout", "auth", "refused", "upstream", "error", "client_gone")}


def through(view: Callable[[HttpRequest], Any], method: str = "GET") -> Any:
    return RequestMetrics(view)(RequestFactory().generic(method, "/"))


def test_a_body_is_under_way_until_it_is_closed() -> None:
    before = answered()
    response = through(lambda request: StreamingHttpResponse(parts()))
    assert b"".join(response) == b"onetwo"
    assert (under_way(), answered()) == (1, before)
    response.close()
    assert (under_way(), answered()) == (0, before + 1)


def test_a_body_read_to_its_end_is_no_failure() -> None:
    before = failures()
    response = through(lambda request: StreamingHttpResponse(parts()))
    assert b"".join(response) == b"onetwo"
    response.close()
    assert failures() == before


def test_a_body_closed_before_its_end_had_a_client_that_went_away() -> None:
    before = failed("client_gone")
    response = through(lambda request: StreamingHttpResponse(parts()))
    next(iter(response))
    response.close()
    assert failed("client_gone") == before + 1


def test_the_body_of_a_head_request_is_sent_to_nobody() -> None:
    before = failures()
    through(lambda request: StreamingHttpResponse(parts()), "HEAD").close()
    assert (failures(), under_way()) == (before, 0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "upstream"),
        (ConnectionRefusedError(), "refused"),
        (KeyError("x"), "error"),
        (GeneratorExit(), "client_gone"),
    ],
)
def test_a_body_that_breaks_says_why(error: BaseException, reason: str) -> None:
    before = failed(reason)
    response = through(lambda request: StreamingHttpResponse(breaking(error)))
    with pytest.raises(type(error)):
        list(response)
    response.close()
    assert failed(reason) == before + 1


def test_a_response_that_the_server_drops_is_over() -> None:
    before = failed("client_gone")
    through(lambda request: StreamingHttpResponse(parts()))
    assert (under_way(), failed("client_gone")) == (0, before + 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RequestAborted(), "client_gone"),
        (UnreadablePostError(), "client_gone"),
        (asyncio.CancelledError(), "client_gone"),
        (BrokenPipeError(), "client_gone"),
    ],
)
def test_a_client_that_has_gone_is_told_apart(error: BaseException, reason: str) -> None:
    assert failure_of_exception(error) == reason


def wsgi(at: str, **environ: Any) -> Any:
    base = {
        "REQUEST_METHOD": "GET", "PATH_INFO": at, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "HTTP_HOST": "localhost", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
    }  # fmt: skip
    return WSGIHandler()(base | environ, lambda *_: None)


def test_a_file_that_the_server_sends_by_itself_stays_one() -> None:
    """`wsgi.file_wrapper` is how sendfile comes in: a wrapped body would lose it."""
    given: list[Any] = []

    def wrapper(file: Any, size: int) -> Any:
        given.append(file)
        return file

    before, counted = failures(), answered()
    body = wsgi("/file", **{"wsgi.file_wrapper": wrapper})
    assert given[0].read() == Path(__file__).read_bytes()
    assert under_way() == 1
    body.close()
    assert (under_way(), answered(), failures()) == (0, counted + 1, before)


def test_a_file_is_timed_where_the_server_has_no_file_wrapper() -> None:
    body = wsgi("/file")
    assert b"".join(body) == Path(__file__).read_bytes()
    assert under_way() == 1
    body.close()
    assert under_way() == 0


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 65_536


@pytest.mark.parametrize("server", ["waitress", "wsgiref"])
def test_a_client_that_hangs_up_in_the_midst_of_a_body_is_gone(server: str) -> None:
    before = failed("client_gone")
    middleware = RequestMetrics(lambda request: StreamingHttpResponse(endless()))
    with running(server, lambda environ, start: served(middleware, environ, start)) as port:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.")
            assert under_way() == 1
        ends = time.monotonic() + 20
        while failed("client_gone") == before and time.monotonic() < ends:
            time.sleep(0.01)
    assert (failed("client_gone"), under_way()) == (before + 1, 0)


def served(middleware: RequestMetrics, environ: dict[str, Any], start: Any) -> Any:
    response = middleware(WSGIRequest(environ))
    start("200 OK", [])
    return response


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...

    def get_stderr(self) -> Any:
        return StringIO()


@contextmanager
def running(server: str, application: Any) -> Iterator[int]:
    """Run a real WSGI server in a thread and yield its port."""
    if server == "waitress":
        made: Any = waitress.create_server(application, host="127.0.0.1", port=0, threads=1)
        port, serve, stop = made.effective_port, made.run, lambda: made.trigger.pull_trigger(made.close)
    else:
        made = make_server("127.0.0.1", 0, application, handler_class=_Quiet)
        port, serve, stop = made.server_port, lambda: made.serve_forever(0.01), made.shutdown
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield port
    finally:
        stop()
        thread.join(10)
        made.server_close() if server == "wsgiref" else made.task_dispatcher.shutdown()


class Client:
    """One ASGI request; `gone` makes the client hang up once so many messages were sent to it."""

    def __init__(self, gone_after: int | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self._gone_after = gone_after
        self._asked, self._hung_up = False, asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            if self._gone_after == 0:
                self._hung_up.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if len(self.sent) == self._gone_after:
            self._hung_up.set()


def asgi(at: str, gone_after: int | None = None) -> bytes:
    async def one() -> bytes:
        client = Client(gone_after)
        scope = {
            "type": "http", "method": "GET", "path": at, "raw_path": at.encode(), "query_string": b"", "scheme": "http",
            "headers": [(b"host", b"localhost")], "server": ("localhost", 80), "client": ("10.0.0.1", 1), "root_path": "",
        }  # fmt: skip
        await asyncio.wait_for(ASGIHandler()(scope, client.receive, client.send), 10)
        return b"".join(message.get("body", b"") for message in client.sent)

    return asyncio.run(one())


@pytest.mark.parametrize(("at", "body"), [("/plain", b"all"), ("/quick", b"onetwo")])
def test_asgi_requests_count_once(at: str, body: bytes) -> None:
    before, counted = failures(), answered()
    assert asgi(at) == body
    assert (under_way(), answered(), failures()) == (0, counted + 1, before)


def test_an_exception_of_an_asynchronous_view_says_why() -> None:
    before = failed("timeout")
    asgi("/late")
    assert failed("timeout") == before + 1


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
def test_a_synchronous_body_under_asgi_counts_once() -> None:
    before, counted = failures(), answered()
    assert asgi("/stream") == b"onetwo"
    assert (under_way(), answered(), failures()) == (0, counted + 1, before)


@pytest.mark.parametrize(("at", "gone_after"), [("/forever", 0), ("/slow", 2)], ids=["in the view", "in the body"])
def test_a_client_that_hangs_up_under_asgi_is_gone(at: str, gone_after: int) -> None:
    before, counted = failed("client_gone"), answered()
    asgi(at, gone_after)
    assert (under_way(), answered(), failed("client_gone")) == (0, counted + 1, before + 1)


def test_an_asgi_process_reads_the_tenants_outside_its_loop() -> None:
    known_tenants._read_at, known_tenants._names = float("-inf"), frozenset()
    assert asgi("/plain") == b"all"
    assert not known_tenants.unread()
