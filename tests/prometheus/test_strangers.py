"""A real Prometheus scrapes tenants that forge, flood and redirect: nobody but themselves is harmed."""

import gzip
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from exporters.gateway_client.exposition import SpoolCollector
from exporters.gateway_client.spool import Spool
from runtime.build import expose_build_info
from tests.prometheus.real_prometheus import Series, running

pytestmark = pytest.mark.chain

FORGED = """\
mission_consecutive_failures{task="mine"} 5
mission_consecutive_failures{task="theirs",tenant="honest"} 5
mission_consecutive_failures{task="labelled",tenant="other",exported_tenant="honest",job="alert-bridge",pod="p",x="y"} 5
mission_policy_threshold{policy="repeated_failures",tenant="honest"} 1e9
mission_policy_threshold{policy="consecutive_failures",tenant="*"} 1e9
mission_policies_loaded 1
mission_recent_events{tenant="honest",event_type="gateway",failure_type="timeout",level="error",window="5m"} 50
mission_userdb_up{job="alert-bridge"} 0
mission_outbox_dead{channel="mail"} 7
mission_failures_total{task="t",failure_type="made_up"} 9
mission_runs_total{task="t",outcome="splendid"} 9
mission_recent_failures{failure_type="made_up",window="5m"} 9
mission_recent_failures{failure_type="signal",window="1h"} 9
made_up_total 1
policy:mission_policy_threshold:known{policy="repeated_failures",tenant="honest"} 1e9
up{tenant="honest"} 0
ALERTS{alertname="Forged",alertstate="firing"} 1
mission_spool_events 1 1000
mission_spool_oldest_seconds 7 33000000000000
"""
WIDE = (
    'mission_runs_total{task="t",outcome="failure",failure_type="other",le="1",result="a",reason="b",version="c"} 1\n'
)
MANY = "".join(f'mission_consecutive_failures{{task="{n}"}} 9\n' for n in range(5001))
REFUSED = {
    "long": f'mission_consecutive_failures{{task="{"x" * 300}"}} 9\n',
    "many": MANY,
    "wide": WIDE,
    "big": "# " + "x" * 1_100_000 + "\n" + 'mission_consecutive_failures{task="t"} 9\n',
    "bomb": "# " + "x" * 50_000_000 + "\n",
    "redirect": "",
}
"""What goes beyond a limit, by the tenant that does it."""
CHATTER = MANY.replace("mission_consecutive_failures", "made_up")
HARMLESS = ["honest", "forger", "chatter"]
TENANTS = [*HARMLESS, *REFUSED]
NAMELESS = ["", "unknown", "other", "*"]
BRIDGE = """\
mission_policies_loaded 1
mission_policy_threshold{policy="repeated_failures",tenant="*"} 3
mission_policy_threshold{policy="consecutive_failures",tenant="*"} 3
"""

Ask = Callable[[str], list[Series]]


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages: ClassVar[dict[str, str]] = REFUSED | {"forger": FORGED, "chatter": CHATTER, "bridge": BRIDGE}

    def do_GET(self) -> None:
        tenant = self.path.strip("/")
        body = self.pages.get(tenant, self.pages["honest"]).encode()
        self.send_response(302 if tenant == "redirect" else 200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        if tenant == "redirect":
            self.send_header("Location", "/honest")
        if tenant == "bomb":
            self.send_header("Content-Encoding", "gzip")
            body = _BOMB
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


_BOMB = gzip.compress(REFUSED["bomb"].encode(), 1)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the lines that the real client exposes of itself after a run that failed and one that succeeded."""
    spool = tmp_path_factory.mktemp("spool")
    for command in ("false", "true"):
        run = [sys.executable, "-m", "exporters.gateway_client", "run", "--task", "t", "--", command]
        environment = os.environ | {"GATEWAY_SPOOL": str(spool), "TENANT_ID": "honest"}
        subprocess.run(run, env=environment, capture_output=True, check=False, timeout=20)
    registry = CollectorRegistry()
    registry.register(SpoolCollector(Spool(spool)))
    expose_build_info(registry)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, honest: list[str]) -> Iterator[Ask]:
    """Return a function that asks a Prometheus which has scraped every page and evaluated its rules since."""
    _Pages.pages["honest"] = "\n".join(honest) + "\n"
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = f"127.0.0.1:{server.server_port}"
    try:
        with running(tmp_path_factory.mktemp("prometheus")) as prometheus:
            prometheus.scrape("alert-bridge", pages, {"__metrics_path__": "/bridge"})
            tenants = [{"tenant": tenant, "__metrics_path__": f"/{tenant}"} for tenant in TENANTS]
            nameless = [{"tenant": name, "__metrics_path__": f"/n{n}"} for n, name in enumerate(NAMELESS)]
            prometheus.scrape("gateway-client", pages, *tenants, *nameless)
            prometheus.until(lambda: len(prometheus.ask('up{job="gateway-client"}')) >= len(TENANTS))
            prometheus.until(lambda: prometheus.ask('ALERTS{alertname="SimulationFailing"}'))
            yield prometheus.ask
    finally:
        server.shutdown()
        server.server_close()


def values(found: list[Series], label: str) -> set[str]:
    return {series["metric"].get(label, "") for series in found}


def test_every_series_of_the_client_is_kept_with_its_labels(ask: Ask, honest: list[str]) -> None:
    kept = ask('{job="gateway-client", tenant="honest", __name__=~"mission_.*"}')
    assert {s["metric"]["__name__"] for s in kept} == {re.split("[{ ]", line)[0] for line in honest}
    assert len(kept) == len(honest)
    (failed,) = ask('mission_failures_total{task="t", failure_type="nonzero_exit", tenant="honest"}')
    assert failed["value"][1] == "1"


@pytest.mark.parametrize(
    "name",
    [
        "mission_policy_threshold", "mission_policies_loaded", "mission_recent_events", "mission_userdb_up",
        "mission_outbox_dead", "made_up_total", "made_up", "policy:mission_policy_threshold:known",
    ],
)  # fmt: skip
def test_a_family_that_is_not_the_clients_is_not_kept(ask: Ask, name: str) -> None:
    assert ask(f'{{__name__="{name}", job="gateway-client"}}') == []


def test_a_tenant_speaks_for_itself_alone(ask: Ask) -> None:
    assert values(ask('mission_consecutive_failures{task=~"mine|theirs|labelled"}'), "tenant") == {"forger"}
    assert values(ask('{__name__=~"mission_.*", tenant="other"}'), "tenant") == set()


def test_no_label_of_a_tenants_own_making_is_kept(ask: Ask) -> None:
    (series,) = ask('mission_consecutive_failures{task="labelled"}')
    assert set(series["metric"]) == {"__name__", "job", "instance", "tenant", "task"}
    assert series["metric"]["job"] == "gateway-client"


def test_a_made_up_member_of_a_closed_set_is_not_kept(ask: Ask) -> None:
    assert ask('mission_failures_total{tenant="forger"}') == []
    assert ask('mission_runs_total{tenant="forger"}') == []
    assert ask('mission_recent_failures{tenant="forger"}') == []


def test_a_tenants_clock_is_not_heard(ask: Ask) -> None:
    assert ask('mission_spool_events{tenant="forger"} and time() - timestamp(mission_spool_events) < 60')
    assert ask('mission_spool_oldest_seconds{tenant="forger"} and timestamp(mission_spool_oldest_seconds) <= time()')


@pytest.mark.parametrize("tenant", HARMLESS)
def test_who_stays_within_the_limits_is_up(ask: Ask, tenant: str) -> None:
    (series,) = ask(f'up{{job="gateway-client", tenant="{tenant}"}}')
    assert series["value"][1] == "1"


@pytest.mark.parametrize("tenant", REFUSED)
def test_who_goes_beyond_a_limit_is_down_and_nothing_of_it_is_kept(ask: Ask, tenant: str) -> None:
    (series,) = ask(f'up{{job="gateway-client", tenant="{tenant}"}}')
    assert series["value"][1] == "0"
    assert ask(f'{{__name__=~"mission_.*", tenant="{tenant}"}}') == []


def test_a_target_without_a_tenants_name_is_not_scraped(ask: Ask) -> None:
    assert values(ask('up{job="gateway-client"}'), "tenant") == set(TENANTS)


def test_the_rules_hear_the_bridge_and_each_tenant_of_itself(ask: Ask) -> None:
    known = ask('policy:mission_policy_threshold:known{policy=~"repeated_failures|consecutive_failures"}')
    assert {s["value"][1] for s in known} == {"3"}
    assert values(ask('ALERTS{alertname=~"RepeatedFailures|SimulationFailing"}'), "tenant") == {"forger"}
    assert ask('ALERTS{alertname=~"Forged|UserdbDown|NotificationsDead"}') == []
