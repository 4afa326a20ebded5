"""Each family: a pod in, the exact lines out; names, types and HELP as kube-state-metrics 2.20 prints them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporters.route_management.pods.decoding import Pod
from exporters.route_management.pods.render import Renderer
from tests.exporters.route_management.pods.cast import T0, UNIX_T0, at, condition, ended, pod, status, waiting

UID = pod()["metadata"]["uid"]
ALPHA = f'namespace="alpha",pod="sim-0",uid="{UID}",tenant="alpha"'


def lines(family: str, made: dict[str, Any], *pod_labels: str) -> list[str]:
    """Return the family's lines of the pod, with {...} for the labels that every line has."""
    renderer = Renderer("tenant", pod_labels)
    parts = renderer.render(msgspec.convert(made, Pod)).parts
    index = [known.name for known in renderer.families].index(family)
    return parts[index].decode().replace(ALPHA, "...").splitlines()


def init(*statuses: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a pod with an init container `setup`."""
    container = {"name": "setup", "image": "setup:1"} | spec
    return pod(spec={"initContainers": [container]}, status={"initContainerStatuses": list(statuses)})


def of(*statuses: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return pod(status={"containerStatuses": list(statuses)} | parts)


CRASHED = status(state=waiting("CrashLoopBackOff"), last=ended("OOMKilled", 137, at(50)), restartCount=3, ready=False)
DONE = status(state=ended("Completed", 0, at(90)), ready=False)
CREATED = status(state=waiting("ContainerCreating"), ready=False)
RESOURCES = {
    "cpu": "100m", "memory": "128Mi", "ephemeral-storage": "1e3", "hugepages-2Mi": "0.5Gi", "nvidia.com/gpu": "2",
    "kubernetes.io/batch-cpu": "1", "requests.cpu": "1", "nonsense": "1", "example.com/odd": "lots",
}  # fmt: skip
AMOUNTS = [
    '{...,container="%s",node="node-1",resource="cpu",unit="core"} 0.1',
    '{...,container="%s",node="node-1",resource="memory",unit="byte"} 134217728',
    '{...,container="%s",node="node-1",resource="ephemeral_storage",unit="byte"} 1000',
    '{...,container="%s",node="node-1",resource="hugepages_2Mi",unit="byte"} 536870912',
    '{...,container="%s",node="node-1",resource="nvidia_com_gpu",unit="integer"} 2',
]


def with_resources(kind: str) -> dict[str, Any]:
    return pod(spec={"containers": [{"name": "solver", "resources": {kind: RESOURCES}}]})


OF_CONTAINERS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "info",
        status(),
        [
            '{...,container="solver",image_spec="solver:1",image="solver:1",image_id="sha256:1",'
            'container_id="containerd://1"} 1'
        ],
    ),
    ("state_started", status(), [f'{{...,container="solver"}} {UNIX_T0}']),
    ("state_started", DONE, [f'{{...,container="solver"}} {UNIX_T0}']),
    ("state_started", CREATED, []),
    ("state_started", status(state={"running": {"startedAt": None}}), []),
    ("status_last_terminated_reason", CRASHED, ['{...,container="solver",reason="OOMKilled"} 1']),
    ("status_last_terminated_reason", status(), []),
    ("status_last_terminated_exitcode", CRASHED, ['{...,container="solver"} 137']),
    ("status_last_terminated_exitcode", status(), []),
    ("status_last_terminated_timestamp", CRASHED, [f'{{...,container="solver"}} {UNIX_T0 + 50}']),
    ("status_last_terminated_timestamp", status(last={"terminated": {"exitCode": 1, "finishedAt": None}}), []),
    ("status_last_terminated_timestamp", status(last={"terminated": {"finishedAt": "0001-01-01T00:00:00Z"}}), []),
    ("status_ready", status(), ['{...,container="solver"} 1']),
    ("status_ready", CRASHED, ['{...,container="solver"} 0']),
    ("status_restarts_total", CRASHED, ['{...,container="solver"} 3']),
    ("status_running", status(), ['{...,container="solver"} 1']),
    ("status_running", CRASHED, ['{...,container="solver"} 0']),
    ("status_terminated", DONE, ['{...,container="solver"} 1']),
    ("status_terminated", status(), ['{...,container="solver"} 0']),
    ("status_terminated_reason", DONE, ['{...,container="solver",reason="Completed"} 1']),
    ("status_terminated_reason", CRASHED, []),
    ("status_waiting", CRASHED, ['{...,container="solver"} 1']),
    ("status_waiting", status(), ['{...,container="solver"} 0']),
    ("status_waiting_reason", CRASHED, ['{...,container="solver",reason="CrashLoopBackOff"} 1']),
    ("status_waiting_reason", status(), []),
]


@pytest.mark.parametrize(("name", "said", "expected"), OF_CONTAINERS)
def test_containers(name: str, said: dict[str, Any], expected: list[str]) -> None:
    family = f"kube_pod_container_{name}"
    assert lines(family, of(said)) == [family + line for line in expected]


@pytest.mark.parametrize(("name", "said", "expected"), OF_CONTAINERS)
def test_init_containers(name: str, said: dict[str, Any], expected: list[str]) -> None:
    family = f"kube_pod_init_container_{name}"
    told = [
        family + line.replace('container="solver"', 'container="setup"').replace("solver:1", "setup:1")
        for line in expected
    ]
    if name == "info":
        told = [line.replace("} 1", ',restart_policy=""} 1') for line in told]
    assert lines(family, init(said | {"name": "setup", "image": "setup:1"})) == told


@pytest.mark.parametrize("kind", ["requests", "limits"])
def test_resources_of_containers(kind: str) -> None:
    family = f"kube_pod_container_resource_{kind}"
    assert lines(family, with_resources(kind)) == [family + amount % "solver" for amount in AMOUNTS]
    assert lines(family, pod()) == []


@pytest.mark.parametrize("kind", ["requests", "limits"])
def test_resources_of_init_containers(kind: str) -> None:
    family = f"kube_pod_init_container_resource_{kind}"
    assert lines(family, init(resources={kind: RESOURCES})) == [family + amount % "setup" for amount in AMOUNTS]


def test_a_native_sidecar_says_its_restart_policy() -> None:
    (line,) = lines("kube_pod_init_container_info", init(status("setup"), restartPolicy="Always"))
    assert line.endswith(',restart_policy="Always"} 1')


def test_a_container_without_a_status_has_no_info() -> None:
    assert lines("kube_pod_container_info", of()) == []


def test_each_of_several_containers_has_its_lines() -> None:
    made = of(status("solver"), status("federate", state=waiting("ErrImagePull")))
    assert lines("kube_pod_container_status_waiting", made) == [
        'kube_pod_container_status_waiting{...,container="solver"} 0',
        'kube_pod_container_status_waiting{...,container="federate"} 1',
    ]


def phases(true: str) -> list[str]:
    return [
        f'{{...,phase="{phase}"}} {int(phase == true)}'
        for phase in ("Pending", "Succeeded", "Failed", "Unknown", "Running")
    ]


def three(true: str) -> list[str]:
    return [f'{{...,condition="{said}"}} {int(said == true)}' for said in ("true", "false", "unknown")]


OWNER = {"kind": "ReplicaSet", "name": "sim", "controller": True}
OF_PODS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("completion_time", of(DONE, status("b", state=ended("Error", 1, at(95)))), [f"{{...}} {UNIX_T0 + 95}"]),
    ("completion_time", pod(), []),
    ("created", pod(), [f"{{...}} {UNIX_T0}"]),
    ("created", pod(metadata={"creationTimestamp": None}), []),
    ("deletion_timestamp", pod(metadata={"deletionTimestamp": at(9)}), [f"{{...}} {UNIX_T0 + 9}"]),
    ("deletion_timestamp", pod(), []),
    (
        "info",
        pod(metadata={"ownerReferences": [OWNER]}, spec={"priorityClassName": "high", "hostNetwork": True}),
        [
            '{...,host_ip="10.0.0.1",pod_ip="10.1.0.1",node="node-1",created_by_kind="ReplicaSet",created_by_name="sim",'
            'priority_class="high",host_network="true"} 1'
        ],
    ),
    (
        "info",
        {"metadata": pod()["metadata"]},
        [
            '{...,host_ip="",pod_ip="",node="",created_by_kind="",created_by_name="",priority_class="",host_network="false"} 1'
        ],
    ),
    ("owner", pod(), ['{...,owner_kind="",owner_name="",owner_is_controller=""} 1']),
    (
        "owner",
        pod(metadata={"ownerReferences": [OWNER, {"kind": "Job", "name": "j"}]}),
        [
            '{...,owner_kind="ReplicaSet",owner_name="sim",owner_is_controller="true"} 1',
            '{...,owner_kind="Job",owner_name="j",owner_is_controller="false"} 1',
        ],
    ),
    ("restart_policy", pod(), ['{...,type="Always"} 1']),
    ("start_time", pod(), [f"{{...}} {UNIX_T0}"]),
    ("start_time", pod(status={"startTime": None}), []),
    ("status_phase", pod(), phases("Running")),
    ("status_phase", pod(status={"phase": ""}), []),
    (
        "status_qos_class",
        pod(),
        ['{...,qos_class="BestEffort"} 0', '{...,qos_class="Burstable"} 1', '{...,qos_class="Guaranteed"} 0'],
    ),
    ("status_qos_class", pod(status={"qosClass": ""}), []),
    ("status_ready", pod(), three("true")),
    ("status_ready", pod(status={"conditions": [condition("Ready", "Unknown")]}), three("unknown")),
    ("status_ready", pod(status={"conditions": []}), []),
    ("status_ready_time", pod(), [f"{{...}} {UNIX_T0}"]),
    ("status_ready_time", pod(status={"conditions": [condition("Ready", "False")]}), []),
    (
        "status_initialized_time",
        pod(status={"conditions": [condition("Initialized", since=at(3))]}),
        [f"{{...}} {UNIX_T0 + 3}"],
    ),
    ("status_initialized_time", pod(status={"conditions": [condition("Initialized", "False")]}), []),
    ("status_container_ready_time", pod(status={"conditions": [condition("ContainersReady")]}), [f"{{...}} {UNIX_T0}"]),
    ("status_container_ready_time", pod(), []),
    ("status_reason", pod(status={"reason": "Evicted"}), ['{...,reason="Evicted"} 1']),
    ("status_reason", pod(status={"reason": "Strange"}), ['{...,reason="Other"} 1']),
    (
        "status_reason",
        pod(status={"conditions": [condition("PodScheduled", "False", reason="SchedulingGated")]}),
        ['{...,reason="SchedulingGated"} 1'],
    ),
    ("status_reason", of(status(state=ended("NodeLost", 1, T0))), ['{...,reason="NodeLost"} 1']),
    ("status_reason", pod(), []),
    (
        "status_disruption_reason",
        pod(status={"conditions": [condition("DisruptionTarget", reason="EvictionByEvictionAPI")]}),
        ['{...,reason="EvictionByEvictionAPI"} 1'],
    ),
    (
        "status_disruption_reason",
        pod(status={"conditions": [condition("DisruptionTarget", reason="x")]}),
        ['{...,reason="Other"} 1'],
    ),
    ("status_disruption_reason", pod(), []),
    ("status_scheduled", pod(), three("true")),
    ("status_scheduled", pod(status={"conditions": [condition("PodScheduled", "False")]}), three("false")),
    ("status_scheduled_time", pod(), [f"{{...}} {UNIX_T0}"]),
    ("status_scheduled_time", pod(status={"conditions": [condition("PodScheduled", "False")]}), []),
    ("status_unschedulable", pod(status={"conditions": [condition("PodScheduled", "False")]}), ["{...} 1"]),
    ("status_unschedulable", pod(), []),
    (
        "status_unscheduled_time",
        pod(status={"conditions": [condition("PodScheduled", "False", at(4))]}),
        [f"{{...}} {UNIX_T0 + 4}"],
    ),
    ("status_unscheduled_time", pod(), []),
]


@pytest.mark.parametrize(("name", "made", "expected"), OF_PODS)
def test_pods(name: str, made: dict[str, Any], expected: list[str]) -> None:
    assert lines(f"kube_pod_{name}", made) == [f"kube_pod_{name}{line}" for line in expected]


def test_labels_are_told_only_when_asked_for() -> None:
    made = pod(metadata={"labels": {"tenant": "alpha", "app.kubernetes.io/partOf": "sim", "other": "x"}})
    assert lines("kube_pod_labels", made) == []
    assert lines("kube_pod_labels", made, "app.kubernetes.io/partOf", "missing") == [
        'kube_pod_labels{...,label_app_kubernetes_io_part_of="sim"} 1'
    ]
    assert lines("kube_pod_labels", made, "missing") == ["kube_pod_labels{...} 1"]


def test_labels_that_become_the_same_name_are_numbered_apart() -> None:
    made = pod(metadata={"labels": {"tenant": "alpha", "a-b": "1", "a.b": "2"}})
    assert lines("kube_pod_labels", made, "a-b", "a.b") == [
        'kube_pod_labels{...,label_a_b_conflict1="1",label_a_b_conflict2="2"} 1'
    ]


def test_values_are_escaped() -> None:
    (line,) = lines("kube_pod_container_status_waiting_reason", of(status(state=waiting('a"b\\c\nd'))))
    assert line.endswith(r'reason="a\"b\\c\nd"} 1')


def test_names_types_and_help_are_those_of_kube_state_metrics() -> None:
    known = (Path(__file__).parent / "kube_state_metrics.txt").read_text().partition("\n")[2]
    assert "".join(family.header(False).decode() for family in Renderer("tenant").families) == known


def test_openmetrics_names_a_counter_without_its_total() -> None:
    headers = [family.header(True).decode() for family in Renderer("tenant").families if family.type == "counter"]
    assert [header.splitlines()[1] for header in headers] == [
        "# TYPE kube_pod_container_status_restarts counter",
        "# TYPE kube_pod_init_container_status_restarts counter",
    ]


def test_families_of_the_denylist_are_left_out() -> None:
    left = {family.name for family in Renderer("tenant", (), ["kube_pod_init_.*", "kube_pod_info"]).families}
    assert not any(name.startswith("kube_pod_init_") for name in left)
    assert "kube_pod_info" not in left
    assert len(left) == 48 - 14 - 1


@pytest.mark.parametrize(
    ("label", "tenant"),
    [
        ("beta", "beta"),
        ("a" * 63, "a" * 63),
        ("a" * 64, ""),
        ("Beta", ""),
        ("-beta", ""),
        ("beta\n", ""),
        ("", ""),
        ("unknown", ""),
        ("other", ""),
        ("*", ""),
    ],
)
def test_a_tenant_is_a_dns_label_and_no_reserved_name(label: str, tenant: str) -> None:
    made = pod(metadata={"labels": {"tenant": label}})
    assert Renderer("tenant").render(msgspec.convert(made, Pod)).tenant == tenant


def test_a_pod_without_labels_has_an_empty_tenant() -> None:
    made = pod(metadata={"labels": None})
    assert lines("kube_pod_created", made) == [f'kube_pod_created{{{ALPHA[:-6]}"}} {UNIX_T0}']
