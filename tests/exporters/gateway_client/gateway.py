"""A gateway that answers what a test has written down: a real HTTP server on a port of its own."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.mariadb import free_port


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    events: list[dict[str, Any]]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


class Reply(NamedTuple):
    status: int
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


def accepted(request: Request) -> Reply:
    """What the gateway says when it took everything."""
    return Reply(200, json.dumps({"accepted": len(request.events), "duplicates": 0, "rejected": []}).encode())


class ScriptedGateway(ThreadingHTTPServer):
    """`answers` are used one by one, `accepted` from then on; each is a reply or makes one of the request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), _Handler)
        self.requests: list[Request] = []
        self.answers: list[Reply | Callable[[Request], Reply]] = []
        self.otherwise: Reply | Callable[[Request], Reply] = accepted
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedGateway
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = Request(self.path, dict(self.headers), document["events"])
        self.server.requests.append(request)
        answer = self.server.answers.pop(0) if self.server.answers else self.server.otherwise
        reply = answer if isinstance(answer, Reply) else answer(request)
        self.send_response(reply.status)
        for name, value in (*reply.headers, ("Content-Length", str(len(reply.body)))):
            self.send_header(name, value)
        with suppress(BrokenPipeError):  # a client that did not wait
            self.end_headers()
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
