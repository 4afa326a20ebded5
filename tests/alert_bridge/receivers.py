"""Destinations of the tests: a real HTTP server and a real SMTP server on this machine that answer as a test tells them."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from tests.mariadb import free_port

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Got:
    """One request that arrived."""

    path: str
    headers: Any
    body: bytes


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Return an answer with this status; an underscore in a header's name stands for a hyphen."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def dribble(first: bytes, stop: threading.Event) -> Answer:
    """Return an answer that says `first` and then one byte after the other, without end."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        with suppress(OSError):  # the client has hung up: that is what is tested
            request.wfile.write(first)
            while not stop.wait(0.05):
                request.wfile.write(b"x")
                request.wfile.flush()

    return answer


class Receiver(ThreadingHTTPServer):
    """`with receiver() as r: ...; r.got` holds what arrived."""

    daemon_threads = True

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self.answer, self.got = answer, list[Got]()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        scheme = "https" if isinstance(self.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://localhost:{self.server_port}/hook"

    def keys(self) -> list[str]:
        return [got.headers["Idempotency-Key"] for got in list(self.got)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.got.append(Got(self.path, self.headers, body))
        self.server.answer(self)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def receiver(answer: Answer | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve until the block ends."""
    server = Receiver(answer or status(200, b"thanks"))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Mailbox:
    """An SMTP server's handler: keeps what it accepts, refuses what it is told to."""

    data: str = "250 OK"
    """The answer to a whole message."""
    refused: dict[str, str] = field(default_factory=dict)
    """By recipient: the answer."""
    password: str = "s3cret"
    mails: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Envelope, address: str, options: Any) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        if self.data.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(message_from_bytes(envelope.content))
            self.recipients += envelope.rcpt_tos
            self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("cipher") is not None)
        return self.data

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = data.password == self.password.encode()
        # a server that repeats what it was given, as careless ones do
        return AuthResult(
            success=right, handled=False, message=None if right else f"535 {data.password.decode()} is wrong"
        )


@contextmanager
def mailbox(box: Mailbox, security: str = "none", tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """Serve SMTP on a port of its own until the block ends."""
    box.port = free_port()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=box.port,
        ssl_context=tls if security == "tls" else None,
        tls_context=tls if security == "starttls" else None,
        require_starttls=security == "starttls",
        authenticator=box.authenticate,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def certificate() -> tuple[trustme.CA, ssl.SSLContext]:
    """Return an authority of the test's own and a server's context with its certificate for localhost."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return authority, context


def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Return the condition's value as soon as it is true; fail when it is not within `seconds`."""
    ends = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < ends, f"not within {seconds:g} s: {what or condition}"
        time.sleep(0.02)
