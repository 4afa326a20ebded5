"""What stands before the two `alert-bridge web`: hands each webhook to one of them in turn, and remembers each answer.

It can be cut: then it hangs up at once, or, so that the answer alone is lost, once the bridge has answered.
"""

import hashlib
import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any

_WAIT = 15.0


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Front(ThreadingHTTPServer):
    """`mode` is "pass", "refuse" or "swallow"."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, webs: list[int]) -> None:
        self.mode = "pass"
        self.accepted: set[str] = set()
        """Digests of the bodies that the bridge answered with 200, whether or not the answer was passed on."""
        self.statuses: Counter[int] = Counter()
        self._turn, self._count, self._lock = cycle(range(len(webs))), len(webs), threading.Lock()
        self._webs = webs
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def connection(self) -> http.client.HTTPConnection | None:
        """Return a connection to the next web that takes one."""
        with self._lock:
            first = next(self._turn)
        for place in range(self._count):
            made = http.client.HTTPConnection("127.0.0.1", self._webs[(first + place) % self._count], timeout=_WAIT)
            try:
                made.connect()
            except OSError:
                continue
            return made
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: Alertmanagers are killed in the middle of a request."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = None if self.server.mode == "refuse" else self._ask(body)
        if answer is None or self.server.mode != "pass":
            self.close_connection = True
            return
        status, text = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _ask(self, body: bytes) -> tuple[int, bytes] | None:
        connection = self.server.connection()
        if connection is None:
            return None
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type", "User-Agent")}
        try:
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        with self.server._lock:
            self.server.statuses[answer.status] += 1
            if answer.status == 200:
                self.server.accepted.add(digest(body))
        return answer.status, text

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
