"""A scrape: text and OpenMetrics, plain and gzip, what is made anew; promtool finds nothing to say."""

import gzip
import subprocess
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.route_management.pods.decoding import Pod
from exporters.route_management.pods.exposition import Pods, application
from exporters.route_management.pods.render import Rendered, Renderer
from exporters.route_management.pods.sharding import Shard
from exporters.route_management.pods.store import Store
from local.programs import find
from tests.exporters.route_management.pods.cast import at, condition, ended, pod, status, waiting

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
RENDERER = Renderer("tenant")


def rendered(made: dict[str, Any]) -> Rendered:
    return RENDERER.render(msgspec.convert(made, Pod))


class Exposition:
    def __init__(self) -> None:
        self.store = Store(len(RENDERER.families), 8)
        registry = CollectorRegistry()
        Gauge("own", "The process's own.", registry=registry).set(7)
        self.application = application([Pods(self.store, RENDERER.families, 8)], registry)

    def put(self, *pods: dict[str, Any]) -> None:
        for made in pods:
            self.store.put(rendered(made))

    def scrape(self, accept: str = "", encoding: str = "") -> tuple[bytes, dict[str, str]]:
        told: dict[str, str] = {}
        environ = {"HTTP_ACCEPT": accept, "HTTP_ACCEPT_ENCODING": encoding}
        body = b"".join(self.application(environ, lambda status, headers: told.update(headers)))
        return body, told

    def text(self, accept: str = "") -> str:
        """Return the body, which is the same plain and compressed but for the order of pods."""
        plain = self.scrape(accept)[0].decode()
        unpacked = gzip.decompress(self.scrape(accept, "gzip")[0]).decode()
        assert plain == unpacked
        return plain


@pytest.fixture
def exposition() -> Exposition:
    made = Exposition()
    crashed = status(state=waiting("CrashLoopBackOff"), last=ended("OOMKilled", 137, at(50)), restartCount=3)
    init = {
        "spec": {"initContainers": [{"name": "setup", "image": "setup:1"}]},
        "status": {"initContainerStatuses": [status("setup", state=ended("Completed", 0, at(2)))]},
    }
    made.put(
        pod("sim-0"),
        pod("sim-1", **init),
        pod("sim-2", status={"containerStatuses": [crashed]}),
        pod(
            "sim-3",
            "beta",
            status={"phase": "Failed", "reason": "Evicted", "conditions": [condition("DisruptionTarget")]},
        ),
        pod("sim-4", metadata={"labels": {"tenant": "No Tenant"}, "deletionTimestamp": at(9)}),
    )
    return made


def test_text_and_gzip_say_the_same(exposition: Exposition) -> None:
    families = {family.name: family for family in parse_text(exposition.text())}
    assert len(families["kube_pod_info"].samples) == 5
    assert families["own"].samples[0].value == 7
    assert exposition.scrape("", "gzip")[1]["Content-Encoding"] == "gzip"
    assert exposition.scrape()[1]["Content-Type"].startswith("text/plain; version=0.0.4")


def test_openmetrics_is_answered_when_asked_for(exposition: Exposition) -> None:
    text = exposition.text(OPENMETRICS)
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(text)}
    assert families["kube_pod_container_status_restarts"].type == "counter"
    assert len(families["kube_pod_info"].samples) == 5
    assert exposition.scrape(OPENMETRICS)[1]["Content-Type"].startswith("application/openmetrics-text")


def test_every_family_is_one_block_with_one_header(exposition: Exposition) -> None:
    names: list[str] = []
    for line in exposition.text().splitlines():
        name = line.split()[2] if line.startswith("#") else line.partition("{")[0]
        if not names or names[-1] != name:
            names.append(name)
    assert len(names) == len(set(names))


def test_a_change_makes_only_its_own_lines_anew(exposition: Exposition) -> None:
    exposition.scrape("", "gzip")

    def rebuilt() -> float:
        return REGISTRY.get_sample_value("mission_pod_exporter_scrape_chunks_rebuilt_total") or 0

    before = rebuilt()
    exposition.put(pod("sim-0"))
    exposition.scrape("", "gzip")
    assert rebuilt() == before
    exposition.put(pod("sim-0", status={"containerStatuses": [status(restartCount=1)]}))
    assert 'restarts_total{namespace="alpha",pod="sim-0"' in exposition.text()
    assert rebuilt() == before + 1


def test_a_pod_that_is_gone_leaves_no_line(exposition: Exposition) -> None:
    exposition.scrape("", "gzip")
    exposition.store.drop(pod("sim-0")["metadata"]["uid"])
    assert 'pod="sim-0"' not in exposition.text()


def test_a_list_that_says_the_same_makes_nothing_anew(exposition: Exposition) -> None:
    exposition.scrape("", "gzip")
    same = rendered(pod("sim-0"))
    kept = exposition.store.known(same)
    assert kept is not same
    exposition.store.replace([same.uid], {same.uid: kept})
    assert exposition.store.take_changed() == []


def test_pods_without_a_tenant_are_counted(exposition: Exposition) -> None:
    assert exposition.store.without_tenant == 1
    exposition.put(pod("sim-4"))
    assert exposition.store.without_tenant == 0
    exposition.put(pod("sim-4", metadata={"labels": {}}))
    exposition.store.drop(pod("sim-4")["metadata"]["uid"])
    assert exposition.store.without_tenant == 0


def test_promtool_has_nothing_to_say(exposition: Exposition) -> None:
    done = subprocess.run(
        [find("promtool"), "check", "metrics"], input=exposition.text(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_each_pod_is_exactly_one_shards() -> None:
    uids = [pod(f"sim-{number}")["metadata"]["uid"] for number in range(3000)]
    for total in (1, 2, 3, 7):
        shards = [Shard(ordinal, total) for ordinal in range(total)]
        held = [[uid for uid in uids if shard.holds(uid)] for shard in shards]
        assert sorted(uid for part in held for uid in part) == sorted(uids)
        assert min(map(len, held)) > 0.8 * len(uids) / total
