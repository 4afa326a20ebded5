"""Alertmanagers of the tests: real ones, alone or as a pair, and a server that lists what a test tells it to."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from local.programs import find
from tests.alert_bridge.processes import ask
from tests.alert_bridge.receivers import Answer, until
from tests.mariadb import free_port


def listed(fingerprint: str, start: str, state: str = "active", **more: Any) -> dict[str, Any]:
    """Return one alert as GET /api/v2/alerts writes it (0.25)."""
    status = {"state": state, "silencedBy": more.pop("silenced_by", []), "inhibitedBy": more.pop("inhibited_by", [])}
    return {
        "annotations": {"summary": "it fails"}, "endsAt": "2099-01-01T00:00:00.000Z", "fingerprint": fingerprint,
        "receivers": [{"name": "alert-bridge"}], "startsAt": start, "status": status, "updatedAt": start,
        "generatorURL": "http://prometheus/graph",
        "labels": {"alertname": "SimulationFailing", "tenant": "alpha", "severity": "error"},
    } | more  # fmt: skip


class Lister(ThreadingHTTPServer):
    """Answers as an Alertmanager does, from `alerts`; `fault`, when set, answers instead."""

    daemon_threads = True

    def __init__(self) -> None:
        self.alerts: list[Any] = []
        self.started = datetime.now(UTC) - timedelta(days=1)
        self.clock = timedelta(0)
        """How far its clock is ahead of ours."""
        self.fault: Answer | None = None
        self.asked: list[str] = []
        self.authorizations: set[str] = set()
        self.before: Any = None
        """Called when the list is asked for, before it is answered."""
        super().__init__(("127.0.0.1", 0), _Listing)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class _Listing(BaseHTTPRequestHandler):
    server: Lister
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        self.server.authorizations.add(self.headers.get("Authorization", ""))
        if self.server.fault is not None:
            self.server.fault(self)
            return
        if path.endswith("/alerts"):
            if self.server.before is not None:
                self.server.before()
            self._answer(self.server.alerts)
        else:
            self._answer({"uptime": self.server.started.isoformat(), "versionInfo": {"version": "0.25.0"}})

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response_only(200)
        self.send_header("Date", format_datetime(datetime.now(UTC) + self.server.clock, usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def lister() -> Iterator[Lister]:
    """Serve until the block ends."""
    server = Lister()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


QUICK = {"group_wait": "100ms", "group_interval": "300ms", "repeat_interval": "1h", "group_by": ["alertname"]}


@dataclass
class Alertmanager:
    """One real Alertmanager. It keeps its port and its folder when it is started again."""

    folder: Path
    webhook: str
    """Where it sends."""
    route: dict[str, Any] = field(default_factory=lambda: dict(QUICK))
    flags: tuple[str, ...] = ("--cluster.listen-address=",)
    more: dict[str, Any] = field(default_factory=dict)
    """Other sections of its configuration."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Alertmanager":
        self.folder.mkdir(parents=True, exist_ok=True)
        hook = {
            "url": self.webhook, "max_alerts": 0,
            "http_config": {"follow_redirects": False, "authorization": {"type": "Bearer", "credentials": "webhook-token"}},
        }  # fmt: skip
        document = {
            "route": {"receiver": "alert-bridge"} | self.route,
            "receivers": [{"name": "alert-bridge", "webhook_configs": [hook]}, {"name": "elsewhere"}],
        }
        path = self.folder / "alertmanager.yml"
        path.write_text(yaml.safe_dump(document | self.more))
        command = [
            str(find("alertmanager")), f"--config.file={path}", f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", *self.flags,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.ready, 20, "Alertmanager is ready")
        return self

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            return ask(f"{self.url}/api/v2/status").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """End it with SIGKILL: its log of notifications is lost."""
        self._end("kill")

    def stop(self) -> None:
        self._end("terminate")

    def _end(self, how: str) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                getattr(self.process, how)()
            self.process.wait(20)
            self.process = None

    def post(self, *alerts: dict[str, Any]) -> None:
        """Post alerts as Prometheus does."""
        answer = ask(f"{self.url}/api/v2/alerts", json.dumps(alerts).encode(), Content_Type="application/json")
        assert answer.status == 200, answer.text

    def lists(self) -> dict[str, dict[str, Any]]:
        """Return what it lists, by alertname."""
        return {a["labels"]["alertname"]: a for a in json.loads(ask(f"{self.url}/api/v2/alerts").body)}


def posted(alertname: str, start: datetime, end: datetime | None = None, **labels: str) -> dict[str, Any]:
    """Return one alert as Prometheus posts it; without an end it is valid for five minutes."""
    names = {"alertname": alertname, "tenant": "alpha", "severity": "error"} | labels
    ends = end or datetime.now(UTC) + timedelta(minutes=5)
    return {"labels": names, "startsAt": start.isoformat(), "endsAt": ends.isoformat(), "annotations": {"summary": "s"}}


@contextmanager
def alertmanager(folder: Path, webhook: str, **more: Any) -> Iterator[Alertmanager]:
    """Run one that is in no cluster."""
    made = Alertmanager(folder, webhook, **more)
    try:
        yield made.start()
    finally:
        made.kill()


@contextmanager
def pair(folder: Path, webhook: str, peer_timeout: str = "200ms", **more: Any) -> Iterator[list[Alertmanager]]:
    """Run two that gossip. Gossip settles in a second instead of ten."""
    gossip = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    made = []
    for number, own in enumerate(gossip):
        flags = (
            f"--cluster.listen-address={own}", f"--cluster.peer={gossip[1 - number]}", "--cluster.gossip-interval=20ms",
            f"--cluster.peer-timeout={peer_timeout}", "--cluster.pushpull-interval=1s", "--cluster.reconnect-interval=1s",
        )  # fmt: skip
        made.append(Alertmanager(folder / f"am{number}", webhook, flags=flags, **more))
    try:
        for one in made:
            one.start()
        until(lambda: all(_joined(one) for one in made), 20, "the pair has found each other")
        yield made
    finally:
        for one in made:
            one.kill()


def _joined(one: Alertmanager) -> bool:
    cluster = json.loads(ask(f"{one.url}/api/v2/status").body)["cluster"]
    return cluster["status"] == "ready" and len(cluster["peers"]) == 2
