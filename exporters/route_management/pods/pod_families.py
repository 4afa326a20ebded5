"""The families of a pod as a whole, and `kube_pod_labels`, which needs a list of labels. Registered in `families.py`."""

import re
from collections.abc import Sequence

from exporters.route_management.pods.decoding import Condition, Pod, unix
from exporters.route_management.pods.families import Family, PodFamily, escape, pod_family

_REASONS = (
    "Evicted", "NodeAffinity", "NodeLost", "PreemptionByScheduler", "SchedulingGated", "Shutdown",
    "TerminationByKubelet", "UnexpectedAdmissionError",
)  # fmt: skip
_DISRUPTIONS = (
    "PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI", "DeletionByPodGC",
    "TerminationByKubelet",
)  # fmt: skip


def _time(name: str, labels: str, text: str | None) -> str:
    moment = unix(text)
    return "" if moment is None else f"{name}{labels}}} {moment}\n"


def _condition(pod: Pod, kind: str) -> Condition | None:
    for condition in pod.status.conditions or ():
        if condition.type == kind:
            return condition
    return None


def _three(name: str, labels: str, condition: Condition | None) -> str:
    """Return a line for each of a condition's values."""
    if condition is None:
        return ""
    said = condition.status
    return (
        f'{name}{labels},condition="true"}} {int(said == "True")}\n'
        f'{name}{labels},condition="false"}} {int(said == "False")}\n'
        f'{name}{labels},condition="unknown"}} {int(said == "Unknown")}\n'
    )


def _since(name: str, labels: str, condition: Condition | None, status: str = "True") -> str:
    """Return when the condition took this status, nothing while it has another."""
    if condition is None or condition.status != status:
        return ""
    return _time(name, labels, condition.last_transition_time)


@pod_family("kube_pod_completion_time", "[STABLE] Completion time in unix timestamp for a pod.")
def completion_time(pod: Pod, labels: str) -> str:
    ends = [
        moment
        for status in pod.status.container_statuses or ()
        if status.state.terminated is not None and (moment := unix(status.state.terminated.finished_at))
    ]
    return f"kube_pod_completion_time{labels}}} {max(ends)}\n" if ends else ""


@pod_family("kube_pod_created", "[STABLE] Unix creation timestamp")
def created(pod: Pod, labels: str) -> str:
    return _time("kube_pod_created", labels, pod.metadata.creation_timestamp)


@pod_family("kube_pod_deletion_timestamp", "Unix deletion timestamp")
def deletion_timestamp(pod: Pod, labels: str) -> str:
    return _time("kube_pod_deletion_timestamp", labels, pod.metadata.deletion_timestamp)


@pod_family("kube_pod_info", "[STABLE] Information about pod.")
def info(pod: Pod, labels: str) -> str:
    kind = name = ""
    for owner in pod.metadata.owner_references or ():
        if owner.controller:
            kind, name = owner.kind, owner.name
            break
    spec, status = pod.spec, pod.status
    return (
        f'kube_pod_info{labels},host_ip="{escape(status.host_ip)}",pod_ip="{escape(status.pod_ip)}",'
        f'node="{escape(spec.node_name)}",created_by_kind="{escape(kind)}",created_by_name="{escape(name)}",'
        f'priority_class="{escape(spec.priority_class_name)}",host_network="{"true" if spec.host_network else "false"}"'
        "} 1\n"
    )


@pod_family("kube_pod_owner", "[STABLE] Information about the Pod's owner.")
def owner(pod: Pod, labels: str) -> str:
    # the mixin's alerts join on it: a pod without an owner has a line too
    owners = pod.metadata.owner_references
    if not owners:
        return f'kube_pod_owner{labels},owner_kind="",owner_name="",owner_is_controller=""}} 1\n'
    return "".join(
        f'kube_pod_owner{labels},owner_kind="{escape(o.kind)}",owner_name="{escape(o.name)}",'
        f'owner_is_controller="{"true" if o.controller else "false"}"}} 1\n'
        for o in owners
    )


@pod_family("kube_pod_restart_policy", "[STABLE] Describes the restart policy in use by this pod.")
def restart_policy(pod: Pod, labels: str) -> str:
    return f'kube_pod_restart_policy{labels},type="{escape(pod.spec.restart_policy)}"}} 1\n'


@pod_family("kube_pod_start_time", "[STABLE] Start time in unix timestamp for a pod.")
def start_time(pod: Pod, labels: str) -> str:
    return _time("kube_pod_start_time", labels, pod.status.start_time)


@pod_family("kube_pod_status_phase", "[STABLE] The pods current phase.")
def status_phase(pod: Pod, labels: str) -> str:
    phase = pod.status.phase
    if not phase:
        return ""
    name = "kube_pod_status_phase"
    return (
        f'{name}{labels},phase="Pending"}} {int(phase == "Pending")}\n'
        f'{name}{labels},phase="Succeeded"}} {int(phase == "Succeeded")}\n'
        f'{name}{labels},phase="Failed"}} {int(phase == "Failed")}\n'
        f'{name}{labels},phase="Unknown"}} {int(phase == "Unknown")}\n'
        f'{name}{labels},phase="Running"}} {int(phase == "Running")}\n'
    )


@pod_family("kube_pod_status_qos_class", "The pods current qosClass.")
def status_qos_class(pod: Pod, labels: str) -> str:
    qos = pod.status.qos_class
    if not qos:
        return ""
    name = "kube_pod_status_qos_class"
    return (
        f'{name}{labels},qos_class="BestEffort"}} {int(qos == "BestEffort")}\n'
        f'{name}{labels},qos_class="Burstable"}} {int(qos == "Burstable")}\n'
        f'{name}{labels},qos_class="Guaranteed"}} {int(qos == "Guaranteed")}\n'
    )


@pod_family("kube_pod_status_ready", "[STABLE] Describes whether the pod is ready to serve requests.")
def status_ready(pod: Pod, labels: str) -> str:
    return _three("kube_pod_status_ready", labels, _condition(pod, "Ready"))


@pod_family("kube_pod_status_ready_time", "Readiness achieved time in unix timestamp for a pod.")
def status_ready_time(pod: Pod, labels: str) -> str:
    return _since("kube_pod_status_ready_time", labels, _condition(pod, "Ready"))


@pod_family("kube_pod_status_initialized_time", "Initialized time in unix timestamp for a pod.")
def status_initialized_time(pod: Pod, labels: str) -> str:
    return _since("kube_pod_status_initialized_time", labels, _condition(pod, "Initialized"))


@pod_family("kube_pod_status_container_ready_time", "Readiness achieved time in unix timestamp for a pod containers.")
def status_container_ready_time(pod: Pod, labels: str) -> str:
    return _since("kube_pod_status_container_ready_time", labels, _condition(pod, "ContainersReady"))


@pod_family("kube_pod_status_reason", "The pod status reasons")
def status_reason(pod: Pod, labels: str) -> str:
    said = pod.status.reason
    reasons = {said, *(condition.reason for condition in pod.status.conditions or ())}
    for status in pod.status.container_statuses or ():
        if status.state.terminated is not None:
            reasons.add(status.state.terminated.reason)
    told = [reason for reason in _REASONS if reason in reasons]
    if said and said not in _REASONS:
        told.append("Other")
    return "".join(f'kube_pod_status_reason{labels},reason="{reason}"}} 1\n' for reason in told)


@pod_family("kube_pod_status_disruption_reason", "The pod disruption condition reason")
def status_disruption_reason(pod: Pod, labels: str) -> str:
    condition = _condition(pod, "DisruptionTarget")
    if condition is None:
        return ""
    reason = condition.reason if condition.reason in _DISRUPTIONS else "Other"
    return f'kube_pod_status_disruption_reason{labels},reason="{reason}"}} 1\n'


@pod_family("kube_pod_status_scheduled", "[STABLE] Describes the status of the scheduling process for the pod.")
def status_scheduled(pod: Pod, labels: str) -> str:
    return _three("kube_pod_status_scheduled", labels, _condition(pod, "PodScheduled"))


@pod_family("kube_pod_status_scheduled_time", "[STABLE] Unix timestamp when pod moved into scheduled status")
def status_scheduled_time(pod: Pod, labels: str) -> str:
    return _since("kube_pod_status_scheduled_time", labels, _condition(pod, "PodScheduled"))


@pod_family("kube_pod_status_unschedulable", "[STABLE] Describes the unschedulable status for the pod.")
def status_unschedulable(pod: Pod, labels: str) -> str:
    condition = _condition(pod, "PodScheduled")
    refused = condition is not None and condition.status == "False"
    return f"kube_pod_status_unschedulable{labels}}} 1\n" if refused else ""


@pod_family("kube_pod_status_unscheduled_time", "Unix timestamp when pod moved into unscheduled status")
def status_unscheduled_time(pod: Pod, labels: str) -> str:
    return _since("kube_pod_status_unscheduled_time", labels, _condition(pod, "PodScheduled"), "False")


_INVALID, _HUMP = re.compile(r"[^a-zA-Z0-9_]"), re.compile(r"([a-z0-9])([A-Z])")


def _label_names(keys: Sequence[str]) -> list[str]:
    """Return the metric's label for each of a pod's labels; those that become the same name are numbered apart."""
    plain = ["label_" + _HUMP.sub(r"\1_\2", _INVALID.sub("_", key)).lower() for key in keys]
    names: list[str] = []
    for name in plain:
        number, tried = 0, name
        while tried in names or (plain.count(name) > 1 and tried == name):
            number += 1
            tried = f"{name}_conflict{number}"
        names.append(tried)
    return names


def labels_family(wanted: Sequence[str]) -> PodFamily:
    """Return `kube_pod_labels` with the pods' labels that are asked for; when none is, it has no lines."""

    def lines(pod: Pod, labels: str) -> str:
        if not wanted:
            return ""
        given = pod.metadata.labels or {}
        keys = sorted(key for key in set(wanted) if key in given)
        said = "".join(f',{name}="{escape(given[key])}"' for name, key in zip(_label_names(keys), keys, strict=True))
        return f"kube_pod_labels{labels}{said}}} 1\n"

    return PodFamily(Family("kube_pod_labels", "[STABLE] Kubernetes labels converted to Prometheus labels."), lines)
