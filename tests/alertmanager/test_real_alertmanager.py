"""A real Alertmanager with this routing: who is grouped with whom, what is inhibited, and what reaches the bridge."""

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.programs import find
from tests.alert_bridge import receivers
from tests.alert_bridge.receivers import Mailbox
from tests.alertmanager.routes import ROUTES, configuration
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

    def fire(self, *alerts: dict[str, str], annotations: dict[str, str] | None = None, ended: bool = False) -> None:
        ends = (datetime.now(UTC) + timedelta(minutes=0 if ended else 5)).isoformat()
        word = {"endsAt": ends, "annotations": annotations or {}}
        self.api("POST", "/alerts", [word | {"labels": labels} for labels in alerts])

    def inhibited(self) -> set[str]:
        """Return what is inhibited, by alert and tenant."""
        return {called(a["labels"]) for a in self.api("GET", "/alerts") if a["status"]["inhibitedBy"]}


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


@contextmanager
def running(tmp_path: Path, document: Any, smtp_port: int) -> Iterator[Alertmanager]:
    """Start it with the shipped configuration: shorter waits, another URL, another mail server."""
    bridge, port = Bridge(), free_port()
    _quicken(document["route"])
    document["global"]["smtp_smarthost"] = f"127.0.0.1:{smtp_port}"
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


@pytest.fixture
def alertmanager(tmp_path: Path, mailbox: Mailbox) -> Iterator[Alertmanager]:
    with running(tmp_path, configuration(), mailbox.port) as started:
        yield started


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with receivers.mailbox(Mailbox()) as box:
        yield box


def test_each_alert_is_told_in_its_group(tmp_path: Path, mailbox: Mailbox) -> None:
    with running(tmp_path, configuration() | {"inhibit_rules": []}, mailbox.port) as alertmanager:
        alertmanager.fire(*(route.labels for route in ROUTES))

        def grouped() -> dict[str, dict[str, str]]:
            bodies = [body for method, _, _, body in alertmanager.bridge.requests if method == "POST"]
            return {json.dumps(a["labels"], sort_keys=True): b["groupLabels"] for b in bodies for a in b["alerts"]}

        until(lambda: len(grouped()) == len(ROUTES))
        assert grouped() == {json.dumps(route.labels, sort_keys=True): route.group for route in ROUTES}


OF_TENANT_A = {"tenant": "a", "namespace": "a", "pod": "p"}
OF_SOLVER = OF_TENANT_A | {"container": "solver", "resource": "memory"}
CAUSES = [
    ("UserdbDown", {"job": "alert-bridge"}, {"PoliciesUnread", "UserdbReadsSlow", "AlertmanagerCannotDeliver"}),
    ("TargetDown", {"job": "alert-bridge"}, {"PoliciesUnread", "UserdbReadsSlow", "AlertmanagerCannotDeliver"}),
    ("JobMissing", {"job": "alert-relay"}, {"OutboxOld", "ChannelFailing"}),
    ("TargetDown", {"job": "alertmanager"}, {"ReconciliationStale"}),
    ("UserdbDown", {"job": "alert-reconcile"}, {"ReconciliationStale", "RetentionStale"}),
    ("JobMissing", {"job": "kube-state-metrics"}, set()),
    ("UserdbDown", {"job": "route-management"}, {"ReportsWaiting a", "ReportsWaiting b"}),
    ("TargetDown", {"job": "gateway-client", "tenant": "a", "instance": "p"}, set()),
    (
        "TenantDown",
        {"tenant": "a"},
        {
            "PodNotReady a", "PodPending a", "RequestErrors a", "RequestTimeouts a", "RequestsSlow a", "ReportsWaiting a",
            "TenantNotScraped a", "TargetDown a",
        },
    ),
    ("TenantDown", {}, set()),
    ("ContainerCrashLooping", OF_TENANT_A, {"ContainerRestarting a", "PodNotReady a", "PodPending a"}),
    ("ContainerOOMKilled", OF_TENANT_A, {"ContainerRestarting a", "PodNotReady a", "PodPending a"}),
    ("ContainerCannotStart", OF_TENANT_A | {"pod": "another"}, set()),
    ("ContainerCrashLooping", {}, set()),
    ("ContainerMemoryHigh", OF_SOLVER, {"ContainerRising a"}),
    ("ContainerMemoryHigh", OF_SOLVER | {"container": "another"}, set()),
    ("ContainerMemoryHigh", {"resource": "memory"}, set()),
]  # fmt: skip
"""A cause, its labels, and whom it silences: alert and tenant."""


def cast(cause: str) -> list[dict[str, str]]:
    """Return one of each alert that is no cause, of the tenants a and b, and of containers without a tenant."""
    effects = [
        r.labels for r in ROUTES if r.labels["alertname"] not in {name for name, _, _ in CAUSES} - {"TargetDown"}
    ]
    effects = [
        e for e in effects if e["alertname"] != "TargetDown" or (e["job"] == "gateway-client" and cause == "TenantDown")
    ]
    others = [labels | {"tenant": "b"} for labels in effects if "tenant" in labels]
    nobodys = [{"alertname": "PodNotReady", "job": "another"}, {"alertname": "RequestErrors", "job": "another"}]
    return [*effects, *others, *nobodys]


def called(labels: dict[str, str]) -> str:
    return " ".join(filter(None, (labels["alertname"], labels.get("tenant"))))


@pytest.mark.parametrize(
    ("cause", "labels", "effects"), CAUSES, ids=[f"{n}-{'-'.join(w.values())}" for n, w, _ in CAUSES]
)
def test_a_cause_inhibits_its_effects_and_nothing_else(
    alertmanager: Alertmanager, cause: str, labels: dict[str, str], effects: set[str]
) -> None:
    alertmanager.fire({"alertname": cause, **labels})
    until(lambda: alertmanager.bridge.posts(cause))
    alertmanager.fire(*cast(cause))

    def told() -> set[str]:
        bodies = [body for method, _, _, body in alertmanager.bridge.requests if method == "POST"]
        return {called(alert["labels"]) for body in bodies for alert in body["alerts"]}

    # told is who is not inhibited; once all of them were, who is missing is decided
    expected = {called(one) for one in cast(cause)} - effects
    until(lambda: expected <= told())
    assert alertmanager.inhibited() == effects
    assert told() & effects == set()


def test_memory_that_is_high_says_nothing_of_a_cpu_that_rises(alertmanager: Alertmanager) -> None:
    alertmanager.fire(OF_SOLVER | {"alertname": "ContainerMemoryHigh"})
    until(lambda: alertmanager.bridge.posts("ContainerMemoryHigh"))
    rising = OF_SOLVER | {"alertname": "ContainerRising"}
    alertmanager.fire(rising, rising | {"resource": "cpu"})
    ((_, body),) = until(lambda: alertmanager.bridge.posts("ContainerRising"))
    assert [alert["labels"]["resource"] for alert in body["alerts"]] == ["cpu"]


def test_what_the_bridge_cant_tell_arrives_by_mail_and_so_does_its_end(
    alertmanager: Alertmanager, mailbox: Mailbox
) -> None:
    down = {"alertname": "UserdbDown", "severity": "critical", "job": "alert-bridge"}
    said = {
        "summary": "alert-bridge can't reach userdb",
        "description": "It is away.",
        "runbook_url": "https://x/UserdbDown",
    }
    alertmanager.fire(down | {"job": "route-management"}, down, annotations=said)
    until(lambda: mailbox.mails)
    alertmanager.fire(down, annotations=said, ended=True)
    until(lambda: len(mailbox.mails) > 1)
    firing, resolved = mailbox.mails
    assert firing["Subject"] == "[firing] UserdbDown alert-bridge: told by Alertmanager itself"
    assert resolved["Subject"] == "[resolved] UserdbDown alert-bridge: told by Alertmanager itself"
    assert firing["To"] == "platform-admins@example.com"
    (text,) = (part for part in firing.walk() if part.get_content_type() == "text/plain")
    assert all(words.encode() in text.get_payload(decode=True) for words in said.values())
    # and the bridge, which may be there after all
    until(lambda: len(alertmanager.bridge.posts("UserdbDown")) > 2)


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
