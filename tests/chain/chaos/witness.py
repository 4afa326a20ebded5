"""What Alertmanager said, seen beside the bridge: a second webhook of the same route, and its API every second.

The recorder is never cut off, so that it hears at least what the bridge may hear.
"""

import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from runtime.texts import parse_time

Start = tuple[str, datetime]
"""(fingerprint, start in UTC, cut to milliseconds)."""


def moment(text: str) -> datetime:
    """Return an RFC 3339 time in UTC, cut to milliseconds."""
    found = parse_time(text)
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def words(body: bytes) -> list[tuple[Start, bool]]:
    """Return (start, whether it fires) of each alert of a webhook's body."""
    alerts = json.loads(body)["alerts"]
    return [((a["fingerprint"], moment(a["startsAt"])), a["status"] == "firing") for a in alerts]


@dataclass
class Sighting:
    """When something was first and last seen, by the clock of this machine."""

    first: float
    last: float

    @property
    def seconds(self) -> float:
        return self.last - self.first


class Recorder(ThreadingHTTPServer):
    """A receiver that takes everything."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        self.firing: dict[Start, Sighting] = {}
        self.webhooks = 0
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def note(self, body: bytes) -> None:
        now = time.time()
        with self._lock:
            self.webhooks += 1
            for start, fires in words(body):
                if fires:
                    self.firing.setdefault(start, Sighting(now, now)).last = now

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: Alertmanagers are killed in the middle of a request."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        self.server.note(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@dataclass
class Snapshots:
    """What each Alertmanager's API lists, asked every second."""

    urls: list[str]
    listed: dict[Start, Sighting] = field(default_factory=dict)
    last: dict[str, set[str]] = field(default_factory=dict)
    """By URL: the fingerprints of its last answer."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._watch, args=(url,), daemon=True) for url in self.urls]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _watch(self, url: str) -> None:
        while not self._stop.wait(1.0):
            try:
                with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=2) as answer:
                    alerts = json.loads(answer.read())
            except OSError:  # killed or paused
                continue
            now = time.time()
            starts = [(a["fingerprint"], moment(a["startsAt"])) for a in alerts]
            self.last[url] = {fingerprint for fingerprint, _ in starts}
            for start in starts:
                self.listed.setdefault(start, Sighting(now, now)).last = now
