"""Usage: gauges of metrics.k8s.io's answer, and one row a minute and container; on both databases."""

import gzip
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from exporters.route_management.pods import apiserver as client
from exporters.route_management.pods import gzip_stream
from exporters.route_management.pods.decoding import Pod
from exporters.route_management.pods.render import Renderer
from exporters.route_management.pods.store import Store
from exporters.route_management.pods.usage import Sample, Usage
from exporters.route_management.pods.usage_rows import UsageRows
from tests.exporters.route_management.pods.apiserver import ApiServer
from tests.exporters.route_management.pods.cast import UNIX_T0, at, pod
from userdb.models import ContainerUsage


def answer(*pods: tuple[str, str, str, str]) -> bytes:
    items = [
        {
            "metadata": {"name": name, "namespace": "alpha"},
            "timestamp": when,
            "window": "15s",
            "containers": [{"name": "solver", "usage": {"cpu": cpu, "memory": memory}}],
        }
        for name, when, cpu, memory in pods
    ]
    return json.dumps({"kind": "PodMetricsList", "metadata": {}, "items": items}).encode()


class Poller:
    def __init__(self, server: ApiServer, folder: Path) -> None:
        renderer = Renderer("tenant")
        self.store = Store(len(renderer.families), 8)
        self.store.put(renderer.render(msgspec.convert(pod(), Pod)))
        self.samples: list[Sample] = []
        api = client.ApiServer(client.configuration(server.kubeconfig(folder)), connect=1.0, read=5.0)
        self.usage = Usage(api, [None], self.store, self.samples.extend)

    def text(self) -> str:
        plain = b"".join(self.usage.plain(False))
        assert gzip.decompress(b"".join(gzip_stream.body(self.usage.pieces(False)))) == plain
        return plain.decode()


@pytest.fixture
def poller(server: ApiServer, tmp_path: Path) -> Poller:
    return Poller(server, tmp_path)


def _up() -> float | None:
    return REGISTRY.get_sample_value("mission_pod_exporter_usage_up")


def test_usage_is_told_exactly_with_the_pods_tenant(server: ApiServer, poller: Poller) -> None:
    server.usage = answer(("sim-0", at(0), "12345678n", "128Mi"), ("stranger", at(0), "1", "1"))
    assert poller.usage.step()
    assert poller.text() == (
        "# HELP mission_container_cpu_usage_cores Use of CPU, mean of metrics.k8s.io's window.\n"
        "# TYPE mission_container_cpu_usage_cores gauge\n"
        'mission_container_cpu_usage_cores{tenant="alpha",namespace="alpha",pod="sim-0",container="solver"} 0.012345678\n'
        "# HELP mission_container_memory_working_set_bytes Working set by metrics.k8s.io.\n"
        "# TYPE mission_container_memory_working_set_bytes gauge\n"
        'mission_container_memory_working_set_bytes{tenant="alpha",namespace="alpha",pod="sim-0",container="solver"}'
        " 134217728\n"
    )
    assert _up() == 1
    assert poller.samples == [
        Sample("alpha", "alpha", "sim-0", "solver", UNIX_T0, Fraction(12345678, 10**9), 128 << 20)
    ]


def test_a_cluster_without_the_api_is_said_once(
    server: ApiServer, poller: Poller, caplog: pytest.LogCaptureFixture
) -> None:
    assert [poller.usage.step(), poller.usage.step()] == [False, False]
    assert _up() == 0
    assert poller.text() == ""
    assert [record.message for record in caplog.records] == [
        "usage of containers is not known: install metrics-server and allow list on pods of metrics.k8s.io, "
        "or leave out --usage"
    ]


def test_what_was_last_heard_is_served_for_two_missed_polls(server: ApiServer, poller: Poller) -> None:
    server.usage = answer(("sim-0", at(0), "1", "1"))
    poller.usage.step()
    server.refuse("usage", 503, times=3)
    for there in (True, True, False):
        poller.usage.step()
        assert bool(poller.text()) == there


def sample(time: int, cores: int, memory: int, tenant: str = "alpha") -> Sample:
    return Sample(tenant, "alpha", "sim-0", "solver", UNIX_T0 + time, Fraction(cores), memory)


def rows() -> list[tuple[Any, ...]]:
    values = ContainerUsage.objects.order_by("minute").values_list(
        "tenant", "pod", "container", "cpu_cores", "memory_bytes"
    )
    return list(values)


databases = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


class TestRows:
    pytestmark = databases

    def test_a_minute_is_one_row_with_its_mean(self) -> None:
        kept = UsageRows(lambda: UNIX_T0 + 90)
        for time, cores in ((0, 1), (15, 2), (15, 2), (30, 6)):  # 15 comes twice: one sample, seen by two polls
            kept.keep([sample(time, cores, cores * 100)])
        assert rows() == []
        kept._clock = lambda: UNIX_T0 + 121
        kept.keep([sample(75, 9, 9)])
        assert rows() == [("alpha", "sim-0", "solver", 3.0, 300)]
        row = ContainerUsage.objects.get()
        assert (row.minute.timestamp(), row.namespace) == (UNIX_T0, "alpha")

    def test_replicas_write_the_same_row(self) -> None:
        for cores in (1, 2):
            kept = UsageRows(lambda: UNIX_T0 + 500)
            kept.keep([sample(0, cores, 5)])
        assert rows() == [("alpha", "sim-0", "solver", 2.0, 5)]

    def test_a_pod_of_no_tenant_is_of_the_unknown_tenant(self) -> None:
        UsageRows(lambda: UNIX_T0 + 500).keep([sample(0, 1, 1, tenant="")])
        assert rows()[0][0] == "unknown"

    @pytest.mark.django_db(databases="__all__", transaction=True)
    def test_what_finds_no_room_is_the_oldest(self, away: Callable[[bool], None]) -> None:
        kept = UsageRows(lambda: UNIX_T0 + 9999, room=2)
        away(True)
        for minute in range(4):
            kept.keep([sample(60 * minute, minute, minute)])
        away(False)
        kept.keep([])
        assert [row[3] for row in rows()] == [2.0, 3.0]
