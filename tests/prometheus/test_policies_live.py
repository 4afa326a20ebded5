"""The policies on a real Prometheus: how soon an alert fires and ends, and what holds while the bridge is away."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.prometheus.real_prometheus import Prometheus, running

pytestmark = pytest.mark.chain

INTERVAL = 1.0
"""Of scrapes and evaluations, in seconds."""
LATE = 0.5
"""How long after its nominal time a scrape or an evaluation may be done with, in seconds."""

Pages = dict[str, str]


@pytest.fixture
def pages() -> Iterator[Pages]:
    """Return what each path answers; one that is not there answers 503. `address` is where."""
    served: Pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.get(self.path.strip("/"))
            self.send_response(503 if body is None else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served["address"] = f"127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    with running(tmp_path) as started:
        yield started


def pod(path: str) -> dict[str, str]:
    return {"tenant": "a", "instance": path, "__metrics_path__": f"/{path}"}


def runs(failed: int, last_failure: float, last_success: float | None) -> str:
    success = "" if last_success is None else f'mission_run_last_success_timestamp_seconds{{task="t"}} {last_success}\n'
    return (
        f'mission_consecutive_failures{{task="t"}} {failed}\n'
        f'mission_run_last_failure_timestamp_seconds{{task="t"}} {last_failure}\n{success}'
    )


def bridge(rows: int, threshold: int) -> str:
    events = 'tenant="a",event_type="gateway",failure_type="timeout",level="error",window="5m"'
    return (
        "mission_policies_loaded 1\n"
        f'mission_policy_threshold{{policy="repeated_failures",tenant="a"}} {threshold}\n'
        f"mission_recent_events{{{events}}} {rows}\n"
    )


def alert(name: str) -> str:
    return f'ALERTS{{alertname="{name}", alertstate="firing", tenant="a"}}'


def fires(prometheus: Prometheus, name: str) -> Callable[[], bool]:
    return lambda: bool(prometheus.ask(alert(name)))


def test_a_failing_task_is_told_at_the_next_evaluation_and_ends_with_another_pods_success(
    prometheus: Prometheus, pages: Pages
) -> None:
    failing = fires(prometheus, "SimulationFailing")
    pages["p1"] = runs(2, 1000, 900)
    prometheus.scrape("gateway-client", pages["address"], pod("p1"))
    prometheus.until(lambda: prometheus.ask("tenant_task:mission_consecutive_failures:last1h == 2"))
    assert not failing()
    pages["p1"] = runs(3, 1010, 900)
    prometheus.until(failing)
    seen = prometheus.times('mission_consecutive_failures{instance="p1"}', 3)[0]
    assert prometheus.times(alert("SimulationFailing"), 1)[0] - seen < INTERVAL + LATE

    # the pod is gone, and with it its series
    prometheus.scrape("gateway-client", pages["address"], pod("p2"))
    prometheus.until(lambda: not prometheus.ask("mission_consecutive_failures"))
    pages["p2"] = runs(0, 500, 1005)
    prometheus.until(lambda: prometheus.ask('mission_consecutive_failures{instance="p2"}'))
    assert failing()

    pages["p2"] = runs(0, 500, 1020)
    prometheus.until(lambda: not failing())
    seen = prometheus.times('mission_run_last_success_timestamp_seconds{instance="p2"}', 1020)[0]
    assert prometheus.times(alert("SimulationFailing"), 1)[-1] - seen < INTERVAL + LATE


def test_a_threshold_follows_the_bridge_and_holds_while_it_is_away(prometheus: Prometheus, pages: Pages) -> None:
    repeated = fires(prometheus, "RepeatedFailures")
    pages["bridge"] = bridge(rows=7, threshold=8)
    prometheus.scrape("alert-bridge", pages["address"], {"__metrics_path__": "/bridge"})
    prometheus.until(lambda: prometheus.ask('policy:mission_policy_threshold:known{tenant="a"} == 8'))
    prometheus.until(lambda: prometheus.ask("tenant_type:mission_failures:count5m == 7"))
    # not even once, against the builtin, before the bridge's first word was recorded
    assert not prometheus.ask('ALERTS{alertname="RepeatedFailures"}[5m]')
    pages["bridge"] = bridge(rows=7, threshold=7)
    prometheus.until(repeated)
    seen = prometheus.times('mission_policy_threshold{tenant="a"}', 7)[0]
    assert prometheus.times(alert("RepeatedFailures"), 1)[0] - seen < INTERVAL + LATE

    del pages["bridge"]
    prometheus.until(lambda: prometheus.ask('up{job="alert-bridge"} == 0'))
    prometheus.until(lambda: not prometheus.ask("mission_policy_threshold"))
    evaluated = "count_over_time(tenant_type:mission_failures:count5m[1m]) > {}"
    (before,) = prometheus.ask(evaluated.format(0))
    prometheus.until(lambda: prometheus.ask(evaluated.format(int(before["value"][1]) + 3)))
    assert repeated()

    pages["bridge"] = bridge(rows=6, threshold=7)
    prometheus.until(lambda: not repeated())
