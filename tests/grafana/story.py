"""The chain's own story on MariaDB, with pods beside it, for the dashboards' questions: what `make run` makes, and a cluster.

Real are Prometheus, Alertmanager, the bridge, the relay, the gateway, the client with its OpenDSS runs, the pod exporter and
MariaDB. Scripted is the API server, whose pods are in every state.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chain.conftest import Run, run_in, until
from tests.exporters.route_management.pods.apiserver import ApiServer
from tests.exporters.route_management.pods.cast import condition, ended, pod, running, status, waiting
from tests.grafana.questions import ROOT
from tests.mariadb import MariaDB, free_port

TENANT = "demo"
_PASSWORD = "of-the-tests"
_GIB = 2**30


@dataclass
class Story:
    """The story, told."""

    run: Run
    database: MariaDB

    def prometheus(self, path: str, **parameters: Any) -> Any:
        """Return what Prometheus' API says; AssertionError with its own words when it refuses."""
        from urllib.parse import urlencode

        address = f"http://127.0.0.1:{self.run.environment['PORT_PROMETHEUS']}/api/v1/{path}?"
        try:
            with urllib.request.urlopen(address + urlencode(parameters, doseq=True), timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def ask(self, statement: str, user: str = "grafana") -> list[tuple[Any, ...]]:
        """Return the rows of a statement, asked by Grafana's own user in a session as it is provisioned."""
        import MySQLdb

        password = _PASSWORD if user == "grafana" else ""
        with closing(
            MySQLdb.connect(
                host="127.0.0.1",
                port=self.database.port,
                user=user,
                password=password,
                database="userdb",
                charset="utf8mb4",
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(statement)
            return list(cursor.fetchall())


def _minutes_ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cast() -> Iterator[dict[str, Any]]:
    """Yield pods of the story's tenant: one that is well, one that crashes, one that can't start, one that no node takes."""
    limits = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    common = {
        "metadata": {"labels": {"tenant": TENANT}, "creationTimestamp": _minutes_ago(10)},
        "spec": {"containers": [{"name": "solver", "resources": limits}]},
    }
    last = ended("OOMKilled", 137, _minutes_ago(2))
    crashing = status(state=running(_minutes_ago(1)), last=last, restartCount=2)
    pulling = status(state=waiting("ImagePullBackOff"), ready=False)
    unready = {"conditions": [condition("Ready", "False")], "phase": "Pending", "containerStatuses": [pulling]}
    yield pod("well", TENANT, **common)
    yield pod("crashing", TENANT, **common, status={"containerStatuses": [crashing]})
    yield pod("pulling", TENANT, **common, status=unready)
    homeless = [condition("PodScheduled", "False", reason="Unschedulable")]
    yield pod(
        "homeless", TENANT, **common, status={"phase": "Pending", "conditions": homeless, "containerStatuses": []}
    )


def _usage(minutes: float) -> bytes:
    items = [
        {
            "metadata": {"name": name, "namespace": TENANT}, "timestamp": _minutes_ago(minutes), "window": "15s",
            "containers": [{"name": "solver", "usage": {"cpu": "500m", "memory": str(_GIB // 2)}}],
        }
        for name in ("well", "crashing")
    ]  # fmt: skip
    return json.dumps({"kind": "PodMetricsList", "metadata": {}, "items": items}).encode()


@contextmanager
def _pods(run: Run, database: MariaDB) -> Iterator[ApiServer]:
    """Run the pod exporter as a real process, and let the chain's Prometheus scrape it."""
    server, port = ApiServer(), free_port()
    for made in _cast():
        server.put(made)
    server.usage = _usage(3)
    command = [
        sys.executable, "-c", "from exporters.route_management.cli import main; main()", "pods",
        "--kubeconfig", str(server.kubeconfig(run.var.parent)), f"--web.listen-address=127.0.0.1:{port}", "--usage",
        "--usage.interval=2s",
    ]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=kept | {"USERDB_URL": database.url}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    targets = run.var / "prometheus" / "targets"
    draft = targets / "draft"
    draft.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"]}]))
    draft.replace(targets / "kube-state-metrics.json")
    try:
        yield server
    finally:
        process.terminate()
        process.wait(20)
        server.close()


def _knock(run: Run) -> None:
    """Send a report with nobody's token: a failed request, and an event of it."""
    address = f"http://127.0.0.1:{run.environment['PORT_GATEWAY']}/api/v1/events"
    request = urllib.request.Request(address, b"{}", {"Authorization": "Bearer of-nobody"}, method="POST")
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise


def _report(run: Run, *events: dict[str, Any]) -> None:
    """Send these events as the tenant; none is a request too."""
    address = f"http://127.0.0.1:{run.environment['PORT_GATEWAY']}/api/v1/events"
    token = (run.var / "tenants" / TENANT / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"events": events}).encode()
    with urllib.request.urlopen(urllib.request.Request(address, body, headers, method="POST"), timeout=5) as answer:
        assert json.load(answer)["accepted"] == len(events)


def _report_late(run: Run) -> None:
    """Send what happened an hour ago."""
    _report(run, {
        "id": str(uuid.uuid4()), "occurred_at": _minutes_ago(60), "task": "t", "failure_type": "other", "level": "info",
        "message": "an hour ago", "detail": {},
    })  # fmt: skip


def _grant(database: MariaDB) -> None:
    database.run(f"CREATE USER 'grafana'@'%' IDENTIFIED BY '{_PASSWORD}'")
    database.run("USE userdb; " + (ROOT / "grafana" / "grants.sql").read_text())


def _is_over(story: Story) -> bool:
    """Return whether the end of an alert was told, minutes have become rows, and the pods have been scraped a few times."""
    counts = [
        "SELECT COUNT(*) FROM grafana_notifications WHERE kind = 'resolved' AND state = 'delivered'",
        "SELECT COUNT(*) FROM grafana_requests",
        "SELECT COUNT(*) FROM grafana_container_usage",
        "SELECT COUNT(*) FROM grafana_events WHERE event_type = 'container'",
        "SELECT COUNT(*) FROM grafana_events WHERE event_type = 'request'",
    ]
    if not all(story.ask(count)[0][0] for count in counts):
        return False
    scraped = (
        'min(count_over_time(kube_pod_info{job="kube-state-metrics"}[10m])) > 3',
        # a rate needs more than the first sight of a counter
        f'sum(rate(mission_gateway_requests_total{{job="route-management", tenant="{TENANT}"}}[5m])) > 0',
    )
    return all(story.prometheus("query", query=query)["result"] for query in scraped)


@contextmanager
def told(folder: Path) -> Iterator[Story]:
    """Let the story happen, about a minute and a half; what it left can be asked for until the end."""
    with ExitStack() as stack:
        database = MariaDB(folder, free_port())
        database.start()
        stack.callback(database.stop)
        run = stack.enter_context(run_in(folder))
        run.start(USERDB_URL=database.url, TENANT=TENANT)
        until(lambda: "The chain runs" in run.said(), 120)
        _grant(database)
        server = stack.enter_context(_pods(run, database))
        story = Story(run, database)
        _report_late(run)
        ends = time.monotonic() + 240
        while not _is_over(story):
            assert time.monotonic() < ends, run.said()[-3000:]
            _knock(run)
            _report(run)
            server.usage = _usage(3)
            time.sleep(0.4)
        yield story
        assert run.interrupt() == 0
