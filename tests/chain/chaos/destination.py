"""One destination as a process of its own: `python -m tests.chain.chaos.destination KIND PORT JOURNAL DELAY`.

KIND is `http` or `smtp`. Each message is noted in the journal (time and idempotency key, one a line) before it is answered,
so that what arrived is known whatever becomes of the answer or of this process.
"""

import asyncio
import os
import sys
import threading
import time
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope

from alert_bridge.channels.webhook import signature

SECRET = "s3cret"


class Journal:
    """One line a message, written whole by one call."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, key: str) -> None:
        os.write(self._file, f"{time.time():.3f} {key}\n".encode())


def serve_http(port: int, journal: Journal, delay: float) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            given, stamp = self.headers["X-Mission-Signature"], self.headers["X-Mission-Timestamp"]
            good = given == signature(SECRET, stamp, body)
            if good:
                journal.note(self.headers["Idempotency-Key"])
            time.sleep(delay)
            self.send_response(200 if good else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


class _Mailbox:
    def __init__(self, journal: Journal, delay: float) -> None:
        self.journal, self.delay = journal, delay

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.journal.note(message_from_bytes(envelope.content)["X-Mission-Idempotency-Key"])
        await asyncio.sleep(self.delay)
        return "250 OK"


def serve_smtp(port: int, journal: Journal, delay: float) -> None:
    controller = Controller(_Mailbox(journal, delay), hostname="127.0.0.1", port=port)
    controller.start()
    threading.Event().wait()


if __name__ == "__main__":
    kind, at, path, seconds = sys.argv[1:]
    {"http": serve_http, "smtp": serve_smtp}[kind](int(at), Journal(path), float(seconds))
