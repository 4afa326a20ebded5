"""A real Alertmanager with this routing: who is grouped with whom, what is inhibited, and what reaches the bridge."""

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.programs import find
from tests.alertmanager.routes import ROUTES, Route, configuration
from tests.mariadb import free_port

pytestmark = pytest.mark.chain

TOKEN, NEW_TOKEN = "first-token", "second-token"
FOLLOWING = {f"RepeatedFailures-{n}" for n in range(50)}


@dataclass
class Bridge(ThreadingHTTPServer):
    """What stands where the bridge stands: keeps what it is sent, answers as it is told."""

    requests: list[tuple[str, str, str, Any]] = field(default_factory=list)
    """Method, path, Authorization and body of each request."""
    redirects: bool = False
    daemon_threads = True

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def posts(self, alertname: str) -> list[tuple[str, Any]]:
        """Return the token and the body of each webhook with this alert's name."""
        posts = [(token, body) for method, _, token, body in self.requests if method == "POST"]
        return [(token, body) for token, body in posts if body["groupLabels"]["alertname"] == alertname]


class _Hook(BaseHTTPRequestHandler):
    server: Bridge

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization", ""), body))
        self.send_response(302 if self.server.redirects else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@dataclass
class Alertmanager:
    port: int
    folder: Path
    bridge: Bridge

    def api(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, f"/api/v2{path}", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return json.loads(answer.read() or "null")
        finally:
            connection.close()

    def fire(self, *alerts: dict[str, str]) -> None:
        ends = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        self.api("POST", "/alerts", [{"labels": labels, "endsAt": ends} for labels in alerts])

    def inhibited(self) -> set[str]:
        """Return the alertnames of what is inhibited."""
        return {a["labels"]["alertname"] for a in self.api("GET", "/alerts") if a["status"]["inhibitedBy"]}


def until(holds: Callable[[], Any], seconds: float = 15) -> Any:
    """Return what `holds` says once it is true."""
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.05)
    return found


def _quicken(route: Any) -> None:
    route |= {"group_interval": "1s"} | ({"group_wait": "100ms"} if route.get("group_wait") != "0s" else {})
    for below in route.get("routes", []):
        _quicken(below)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """Start it with the shipped configuration: shorter waits, another URL."""
    document: Any = configuration()
    bridge, port = Bridge(), free_port()
    _quicken(document["route"])
    document["receivers"][0]["webhook_configs"][0]["url"] = (
        f"http://127.0.0.1:{bridge.server_port}/webhooks/alertmanager"
    )
    (tmp_path / "webhook.token").write_text(TOKEN + "\n")
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(document))
    command = [
        find("alertmanager"), f"--config.file={tmp_path / 'alertmanager.yml'}", f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    started = Alertmanager(port, tmp_path, bridge)

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
        try:
            return bool(started.api("GET", "/status"))
        except OSError:
            return False

    try:
        until(answers)
        yield started
    finally:
        process.terminate()
        process.wait(20)
        bridge.shutdown()
        bridge.server_close()


def test_each_alert_is_told_in_its_group(alertmanager: Alertmanager) -> None:
    told: list[Route] = [route for route in ROUTES if route.labels["alertname"] != "PoliciesUnread"]  # inhibited here
    alertmanager.fire(*(route.labels for route in told))

    def grouped() -> dict[str, dict[str, str]]:
        bodies = [body for method, _, _, body in alertmanager.bridge.requests if method == "POST"]
        return {json.dumps(a["labels"], sort_keys=True): b["groupLabels"] for b in bodies for a in b["alerts"]}

    until(lambda: len(grouped()) == len(told))
    assert grouped() == {json.dumps(route.labels, sort_keys=True): route.group for route in told}


@pytest.mark.parametrize(
    ("cause", "effects"),
    [
        ({"alertname": "UserdbDown", "job": "alert-bridge"}, {"PoliciesUnread"}),
        ({"alertname": "TargetDown", "job": "alert-bridge", "instance": "b"}, {"PoliciesUnread"}),
        ({"alertname": "UserdbDown", "job": "route-management"}, set()),
        ({"alertname": "TargetDown", "job": "gateway-client", "instance": "p", "tenant": "a"}, set()),
    ],
    ids=["userdb-of-the-bridge", "the-bridge", "userdb-of-another", "a-tenants-pod"],
)
def test_a_cause_inhibits_its_effect_and_nothing_else(
    alertmanager: Alertmanager, cause: dict[str, str], effects: set[str]
) -> None:
    others = [r.labels for r in ROUTES if r.labels["alertname"] not in {"UserdbDown", "TargetDown"}]
    others.append({"alertname": "AnotherOfTheBridge", "job": "alert-bridge"})
    alertmanager.fire(cause)
    until(lambda: alertmanager.bridge.posts(cause["alertname"]))
    alertmanager.fire(*others)
    # told is who is not inhibited; once all of them were, who is missing is decided
    expected = {labels["alertname"] for labels in others} - effects
    until(lambda: all(alertmanager.bridge.posts(name) for name in expected))
    assert alertmanager.inhibited() == effects
    assert not any(alertmanager.bridge.posts(name) for name in effects)


def test_a_large_group_comes_whole_with_the_token(alertmanager: Alertmanager) -> None:
    alertmanager.fire(*({"alertname": "SimulationFailing", "tenant": "a", "task": name} for name in FOLLOWING))
    ((token, body),) = until(lambda: alertmanager.bridge.posts("SimulationFailing"))
    assert token == f"Bearer {TOKEN}"
    assert {alert["labels"]["task"] for alert in body["alerts"]} == FOLLOWING
    assert body["truncatedAlerts"] == 0


def test_a_new_token_is_used_without_a_reload(alertmanager: Alertmanager) -> None:
    (alertmanager.folder / "webhook.token").write_text(NEW_TOKEN + "\n")
    alertmanager.fire({"alertname": "OutboxOld", "channel": "mail"})
    ((token, _),) = until(lambda: alertmanager.bridge.posts("OutboxOld"))
    assert token == f"Bearer {NEW_TOKEN}"


def test_a_redirect_is_an_error_that_is_tried_again(alertmanager: Alertmanager) -> None:
    alertmanager.bridge.redirects = True
    alertmanager.fire({"alertname": "OutboxOld", "channel": "mail"})
    # one that is followed counts as delivered and would not come again for an hour
    until(lambda: len(alertmanager.bridge.posts("OutboxOld")) > 1)
    assert {path for _, path, _, _ in alertmanager.bridge.requests} == {"/webhooks/alertmanager"}
