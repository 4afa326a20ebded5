"""The second port of each process: /metrics, /healthz, /readyz and a landing page, for GET and HEAD.

In: a registry and named checks. Out: Prometheus text or OpenMetrics, plain or gzip, as the scraper asks for. It runs in
threads of its own, so that a busy or hung main loop is still scraped and its readiness says why.
"""

import html
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import make_wsgi_app

from runtime.build import version
from runtime.flags import Address

log = logging.getLogger(__name__)

Checks = Mapping[str, Callable[[], str | None]]
"""Named readiness checks: each returns None when all is well, else one sentence that says what is wrong."""


def _readiness(checks: Checks) -> tuple[int, str]:
    lines, status = [], 200
    for name, check in checks.items():
        try:
            trouble = check()
        except Exception as error:
            # a check that can't even ask is no "ok", and the other checks are still to be read
            log.exception("readiness check failed", extra={"check": name})
            trouble = f"the check itself failed: {error.__class__.__name__}"
        lines.append(f"{name}: {trouble or 'ok'}")
        if trouble:
            status = 503
    return status, "\n".join(lines or ["ok"]) + "\n"


def _landing(name: str) -> str:
    links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in ("/metrics", "/healthz", "/readyz"))
    title = html.escape(name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f"<body><h1>{title}</h1><p>Mission Monitor {html.escape(version())}</p><ul>{links}</ul></body></html>\n"
    )


class _Handler(BaseHTTPRequestHandler):
    server: "MetricsPort"
    timeout = 30  # seconds a silent client may hold a thread

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/metrics":
            self._answer_metrics()
        elif path == "/healthz":
            self._answer(200, "text/plain; charset=utf-8", b"ok\n")
        elif path == "/readyz":
            status, text = _readiness(self.server.checks)
            self._answer(status, "text/plain; charset=utf-8", text.encode())
        elif path == "/":
            self._answer(200, "text/html; charset=utf-8", _landing(self.server.name).encode())
        else:
            self._answer(404, "text/plain; charset=utf-8", b"not found: see /\n")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = b"use GET or HEAD\n"
        self._send(405, [("Content-Type", "text/plain; charset=utf-8"), ("Allow", "GET, HEAD")], body)

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self._send(status, [("Content-Type", kind)], body)

    def _send(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer_metrics(self) -> None:
        # prometheus-client's own WSGI application negotiates the format, the escaping and gzip
        told: list[Any] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/metrics",
            "QUERY_STRING": urlsplit(self.path).query,
            "HTTP_ACCEPT": self.headers.get("Accept", ""),
            "HTTP_ACCEPT_ENCODING": self.headers.get("Accept-Encoding", ""),
        }
        body = b"".join(self.server.application(environ, lambda status, headers: told.extend((status, headers))))
        self._send(int(told[0].split()[0]), told[1], body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format % args)


class MetricsPort(ThreadingHTTPServer):
    """Listens as soon as it is made (OSError names the address when it can't); `start` serves in the background."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, at: Address, checks: Checks, registry: CollectorRegistry = REGISTRY) -> None:
        self.name, self.checks = name, checks
        self.application: Any = make_wsgi_app(registry)
        self.address_family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        try:
            super().__init__((at.host, at.port), _Handler)
        except OSError as error:
            raise OSError(error.errno, f"can't listen on {at}: {error.strerror}") from error

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for the host's full name here: seconds where there is no DNS, and nobody reads it
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        # socketserver prints a traceback over several lines; a client that went away is no error of ours
        log.debug("request not answered", extra={"client": client_address[0]}, exc_info=True)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="metrics-port", daemon=True).start()
        log.info("metrics and health", extra={"address": str(Address(self.server_name, self.server_port))})
