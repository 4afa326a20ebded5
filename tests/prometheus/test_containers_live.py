"""The pod exporter goes away and comes back before a real Prometheus: what was firing is not told as ended meanwhile."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mariadb import free_port
from tests.prometheus.real_prometheus import Prometheus, running
from tests.prometheus.rule_files import RULES, document

pytestmark = pytest.mark.chain

HELD = ("TenantDown", "ContainerCrashLooping", "ContainerOOMKilled")
_CONTAINER = "kube_pod_container_status_"


class Exporter:
    """A pod exporter that says `page`, and can go away from its port and come back."""

    def __init__(self) -> None:
        self.port, self.page = free_port(), ""
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(exporter.page.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter()
    yield made
    made.stop()


@pytest.fixture
def prometheus(tmp_path: Path, exporter: Exporter) -> Iterator[Prometheus]:
    """Return a Prometheus with the shipped rules, whose waits are a second each."""
    (tmp_path / "rules").mkdir()
    for path in RULES:
        rules = document(path)
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            if "for" in rule:
                rule["for"] = "1s"
        (tmp_path / "rules" / path.name).write_text(yaml.safe_dump(rules))
    with running(tmp_path, tmp_path / "rules") as started:
        started.scrape("kube-state-metrics", f"127.0.0.1:{exporter.port}", {})
        yield started


def pods(*tenants: str, ill: bool) -> str:
    """Return the exporter's page when it has listed one pod of each tenant."""
    lines = ["mission_pod_exporter_synced 1"]
    for tenant in tenants:
        pod = f'namespace="n",pod="p",uid="u-{tenant}",tenant="{tenant}"'
        lines += [
            f"kube_pod_info{{{pod}}} 1",
            f'kube_pod_status_phase{{{pod},phase="Running"}} 1',
            f'kube_pod_status_ready{{{pod},condition="true"}} {int(not ill)}',
            f'{_CONTAINER}last_terminated_reason{{{pod},container="app",reason="OOMKilled"}} 1',
            f'{_CONTAINER}last_terminated_timestamp{{{pod},container="app"}} {time.time() if ill else 1}',
        ]
        if ill:
            lines.append(f'{_CONTAINER}waiting_reason{{{pod},container="app",reason="CrashLoopBackOff"}} 1')
    return "\n".join(lines) + "\n"


UNSYNCED = "mission_pod_exporter_synced 0\n"


def active(prometheus: Prometheus) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return the firing alerts by name and tenant: their labels, and since when. An end and a new beginning show in it."""
    connection = http.client.HTTPConnection("127.0.0.1", prometheus.port, timeout=5)
    connection.request("GET", "/api/v1/alerts")
    alerts = json.loads(connection.getresponse().read())["data"]["alerts"]
    connection.close()
    return {
        (alert["labels"]["alertname"], alert["labels"]["tenant"]): (alert["labels"], alert["activeAt"])
        for alert in alerts
        if alert["state"] == "firing" and alert["labels"]["alertname"] in HELD
    }


def evaluations(prometheus: Prometheus) -> int:
    found = prometheus.ask('count_over_time(ALERTS{alertname="TenantDown", alertstate="firing", tenant="a"}[5m])')
    return int(found[0]["value"][1]) if found else 0


def evaluated(prometheus: Prometheus, times: int) -> None:
    """Wait until an alert that goes on was evaluated this often again."""
    before = evaluations(prometheus)
    prometheus.until(lambda: evaluations(prometheus) >= before + times)


def times(prometheus: Prometheus, selector: str) -> list[float]:
    (series,) = prometheus.ask(f"{selector}[5m]")
    return [float(at) for at, _ in series["values"]]


def test_what_goes_blind_goes_on_firing_as_it_was_and_ends_when_it_is_seen_to_be_well(
    prometheus: Prometheus, exporter: Exporter
) -> None:
    exporter.page = pods("a", "gone", ill=True)
    exporter.start()
    prometheus.until(lambda: len(active(prometheus)) == 2 * len(HELD))
    before = active(prometheus)

    exporter.stop()
    prometheus.until(lambda: prometheus.ask('up{job="kube-state-metrics"} == 0'))
    prometheus.until(lambda: not prometheus.ask("kube_pod_info"))
    evaluated(prometheus, 4)
    assert active(prometheus) == before

    exporter.page = UNSYNCED
    exporter.start()
    prometheus.until(lambda: prometheus.ask("mission_pod_exporter_synced == 0"))
    evaluated(prometheus, 3)
    assert active(prometheus) == before

    exporter.page = pods("a", ill=True)
    prometheus.until(lambda: prometheus.ask("kube_pod_info"))
    prometheus.until(lambda: ("TenantDown", "gone") not in active(prometheus))
    evaluated(prometheus, 2)
    assert {key: said for key, said in active(prometheus).items() if key[1] == "a"} == {
        key: said for key, said in before.items() if key[1] == "a"
    }
    # one series each, with a sample at every evaluation of the group
    evaluations_of = times(prometheus, 'pod:kube_ready:known{tenant="a"}')
    for name in HELD:
        fired = times(prometheus, f'ALERTS{{alertname="{name}", alertstate="firing", tenant="a"}}')
        assert fired == [at for at in evaluations_of if fired[0] <= at <= fired[-1]]

    exporter.page = pods("a", ill=False)
    prometheus.until(lambda: not {("TenantDown", "a"), ("ContainerOOMKilled", "a")} & set(active(prometheus)))
