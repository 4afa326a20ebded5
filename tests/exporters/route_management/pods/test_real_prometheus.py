"""A real Prometheus on the shipped configuration scrapes the exporter: rules in the form of kubernetes-mixin's find the pods.

Those rules select the job kube-state-metrics, join families on namespace and pod, and take a series that is absent as normal.
"""

from collections.abc import Iterator

import pytest

from tests.exporters.route_management.pods.apiserver import ApiServer
from tests.exporters.route_management.pods.cast import at, condition, ended, pod, status, waiting
from tests.exporters.route_management.pods.test_process import exporter
from tests.prometheus.real_prometheus import Prometheus, running

pytestmark = pytest.mark.chain

KSM = 'job="kube-state-metrics"'
CRASH_LOOPING = f'max_over_time(kube_pod_container_status_waiting_reason{{{KSM},reason="CrashLoopBackOff"}}[1m]) >= 1'
WAITING = f'kube_pod_container_status_waiting_reason{{{KSM},reason!="CrashLoopBackOff"}} > 0'
NOT_READY = f"""
  (
    max by (namespace, pod) (
        kube_pod_status_phase{{{KSM},phase=~"Pending|Unknown"}}
      or
        (kube_pod_status_phase{{{KSM},phase="Running"}} == 1
         and on (namespace, pod) kube_pod_status_ready{{{KSM},condition="true"}} == 0)
    )
    * on (namespace, pod) group_left () max by (namespace, pod) (kube_pod_owner{{{KSM},owner_kind!="Job"}})
  ) > 0
  unless on (namespace, pod) kube_pod_status_reason{{{KSM},reason="SchedulingGated"}} == 1
"""
CPU_BY_NAMESPACE = f"""
  sum by (namespace) (
    kube_pod_container_resource_requests{{{KSM},resource="cpu"}}
    * on (namespace, pod) group_left () max by (namespace, pod) (kube_pod_status_phase{{{KSM},phase=~"Pending|Running"}} == 1)
  )
"""
OOM = f"""
  increase(kube_pod_container_status_restarts_total{{{KSM}}}[1m]) >= 0
  and on (namespace, pod, container) kube_pod_container_status_last_terminated_reason{{{KSM},reason="OOMKilled"}} == 1
"""


def cast() -> Iterator[dict[str, object]]:
    unready, gated = condition("Ready", "False"), condition("PodScheduled", "False", reason="SchedulingGated")
    cpu = {"containers": [{"name": "solver", "resources": {"requests": {"cpu": "250m"}}}]}
    crash = status(state=waiting("CrashLoopBackOff"), last=ended("OOMKilled", 137, at(5)), restartCount=4, ready=False)
    yield pod("good", spec=cpu)
    yield pod("unready", spec=cpu, status={"conditions": [unready]})
    yield pod("crashing", "beta", status={"containerStatuses": [crash], "conditions": [condition("Ready")]})
    yield pod("pulling", status={"phase": "Pending", "containerStatuses": [status(state=waiting("ImagePullBackOff"))]})
    yield pod("gated", status={"phase": "Pending", "conditions": [gated], "containerStatuses": []})
    yield pod("job", metadata={"ownerReferences": [{"kind": "Job", "name": "j"}]}, status={"phase": "Pending"})
    yield pod("over", spec=cpu, status={"phase": "Succeeded"})


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    server = ApiServer()
    for made in cast():
        server.put(made)
    folder = tmp_path_factory.mktemp("pods")
    with exporter(server, folder, "--no-history") as (_, url), running(folder) as made:
        # labels as service discovery gives them to a target in a cluster: they must not win
        made.scrape("kube-state-metrics", url.removeprefix("http://"), {"namespace": "monitoring", "pod": "exporter-0"})
        made.until(lambda: len(made.ask(f"count_over_time(kube_pod_info{{{KSM}}}[1m]) > 2")) == 7)
        yield made
    server.close()


def found(prometheus: Prometheus, query: str, *labels: str) -> set[tuple[str, ...]]:
    return {tuple(series["metric"].get(label, "") for label in labels) for series in prometheus.ask(query)}


def test_a_crash_loop_is_found_with_its_tenant(prometheus: Prometheus) -> None:
    assert found(prometheus, CRASH_LOOPING, "tenant", "namespace", "pod", "container") == {
        ("beta", "beta", "crashing", "solver")
    }


def test_a_container_that_waits_is_found(prometheus: Prometheus) -> None:
    assert found(prometheus, WAITING, "tenant", "pod", "reason") == {("alpha", "pulling", "ImagePullBackOff")}


def test_pods_that_are_not_ready_are_found_and_no_other(prometheus: Prometheus) -> None:
    assert found(prometheus, NOT_READY, "namespace", "pod") == {("alpha", "unready"), ("alpha", "pulling")}


def test_requests_are_summed_over_pods_that_are_not_over(prometheus: Prometheus) -> None:
    (series,) = prometheus.ask(CPU_BY_NAMESPACE)
    assert (series["metric"], float(series["value"][1])) == ({"namespace": "alpha"}, 0.5)


def test_out_of_memory_is_joined_with_restarts(prometheus: Prometheus) -> None:
    assert found(prometheus, OOM, "tenant", "pod") == {("beta", "crashing")}


def test_no_label_is_renamed(prometheus: Prometheus) -> None:
    assert prometheus.ask('{exported_namespace!=""}') == []
    assert prometheus.ask(f"scrape_samples_scraped{{{KSM}}} > 100")
