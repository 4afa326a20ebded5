"""The families of containers, most of them for containers and for init containers. Registered in `families.py`.

A native sidecar is an init container with the restart policy Always.
"""

import re

from exporters.route_management.pods.decoding import Quantities, unix
from exporters.route_management.pods.families import COUNTER, GAUGE, Containers, container_family, escape
from exporters.route_management.pods.quantities import cores, whole

_PRECISE = (
    "It is recommended to use the kube_pod_resource_{} metric exposed by kube-scheduler instead, as it is more precise."
)
_INVALID = re.compile(r"[^a-zA-Z0-9_]")
_EXTENDED = re.compile(
    r"(?=.{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
    r"(?=.{1,63}$)([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
    re.ASCII,
)


def _unit(resource: str) -> str | None:
    """Return the unit that a resource is told in, None for one that is not told."""
    if resource == "cpu":
        return "core"
    if resource in ("memory", "storage", "ephemeral-storage"):
        return "byte"
    if resource.startswith(("hugepages-", "attachable-volumes-")):
        return "byte"
    if "kubernetes.io/" in resource or resource.startswith("requests."):
        return None
    return "integer" if _EXTENDED.fullmatch(resource) else None


def _resources(name: str, labels: str, node: str, amounts: Quantities | None) -> str:
    lines = ""
    for resource, amount in (amounts or {}).items():
        unit = _unit(resource)
        value = None if unit is None else cores(amount) if unit == "core" else whole(amount)
        if value is not None:
            label = _INVALID.sub("_", resource)
            lines += f'{name}{labels},node="{node}",resource="{label}",unit="{unit}"}} {value}\n'
    return lines


def _images(containers: Containers, name: str, restart_policy: bool) -> str:
    statuses = {status.name: status for _, status in containers.statuses}
    return "".join([
        f'{name}{labels},image_spec="{escape(spec.image)}",image="{escape(status.image)}",'
        f'image_id="{escape(status.image_id)}",container_id="{escape(status.container_id)}"'
        + (f',restart_policy="{escape(spec.restart_policy or "")}"' if restart_policy else "")
        + "} 1\n"
        for labels, spec in containers.specs
        if (status := statuses.get(spec.name)) is not None
    ])  # fmt: skip


@container_family(GAUGE, ("kube_pod_container_info", "[STABLE] Information about a container in a pod."))
def info(containers: Containers, name: str) -> str:
    return _images(containers, name, restart_policy=False)


@container_family(
    GAUGE, None, ("kube_pod_init_container_info", "[STABLE] Information about an init container in a pod.")
)
def init_info(containers: Containers, name: str) -> str:
    return _images(containers, name, restart_policy=True)


@container_family(
    GAUGE,
    (
        "kube_pod_container_resource_limits",
        f"[STABLE] The number of requested limit resource by a container. {_PRECISE.format('limits')}",
    ),
    ("kube_pod_init_container_resource_limits", "The number of requested limit resource by an init container."),
)
def resource_limits(containers: Containers, name: str) -> str:
    node = escape(containers.node)
    return "".join([_resources(name, labels, node, spec.resources.limits) for labels, spec in containers.specs])


@container_family(
    GAUGE,
    (
        "kube_pod_container_resource_requests",
        f"[STABLE] The number of requested request resource by a container. {_PRECISE.format('requests')}",
    ),
    ("kube_pod_init_container_resource_requests", "The number of requested request resource by an init container."),
)
def resource_requests(containers: Containers, name: str) -> str:
    node = escape(containers.node)
    return "".join([_resources(name, labels, node, spec.resources.requests) for labels, spec in containers.specs])


@container_family(
    GAUGE,
    ("kube_pod_container_state_started", "[STABLE] Start time in unix timestamp for a pod container."),
    ("kube_pod_init_container_state_started", "Start time in unix timestamp for a pod init container."),
)
def state_started(containers: Containers, name: str) -> str:
    return "".join([
        f"{name}{labels}}} {moment}\n"
        for labels, status in containers.statuses
        if (state := status.state.running or status.state.terminated) is not None
        and (moment := unix(state.started_at)) is not None
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_last_terminated_reason",
        "Describes the last reason the container was in terminated state.",
    ),
    (
        "kube_pod_init_container_status_last_terminated_reason",
        "Describes the last reason the init container was in terminated state.",
    ),
)
def status_last_terminated_reason(containers: Containers, name: str) -> str:
    return "".join([
        f'{name}{labels},reason="{escape(ended.reason)}"}} 1\n'
        for labels, status in containers.statuses
        if (ended := status.last_state.terminated) is not None
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_last_terminated_exitcode",
        "Describes the exit code for the last container in terminated state.",
    ),
    (
        "kube_pod_init_container_status_last_terminated_exitcode",
        "Describes the exit code for the last init container in terminated state.",
    ),
)
def status_last_terminated_exitcode(containers: Containers, name: str) -> str:
    return "".join([
        f"{name}{labels}}} {ended.exit_code}\n"
        for labels, status in containers.statuses
        if (ended := status.last_state.terminated) is not None
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_last_terminated_timestamp",
        "Last terminated time for a pod container in unix timestamp.",
    ),
    (
        "kube_pod_init_container_status_last_terminated_timestamp",
        "Last terminated time for a pod init container in unix timestamp.",
    ),
)
def status_last_terminated_timestamp(containers: Containers, name: str) -> str:
    return "".join([
        f"{name}{labels}}} {moment}\n"
        for labels, status in containers.statuses
        if (ended := status.last_state.terminated) is not None and (moment := unix(ended.finished_at)) is not None
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_ready",
        "[STABLE] Describes whether the containers readiness check succeeded.",
    ),
    (
        "kube_pod_init_container_status_ready",
        "[STABLE] Describes whether the init containers readiness check succeeded.",
    ),
)
def status_ready(containers: Containers, name: str) -> str:
    return "".join([f"{name}{labels}}} {int(status.ready)}\n" for labels, status in containers.statuses])


@container_family(
    COUNTER,
    ("kube_pod_container_status_restarts_total", "[STABLE] The number of container restarts per container."),
    ("kube_pod_init_container_status_restarts_total", "[STABLE] The number of restarts for the init container."),
)
def status_restarts_total(containers: Containers, name: str) -> str:
    return "".join([f"{name}{labels}}} {status.restart_count}\n" for labels, status in containers.statuses])


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_running",
        "[STABLE] Describes whether the container is currently in running state.",
    ),
    (
        "kube_pod_init_container_status_running",
        "[STABLE] Describes whether the init container is currently in running state.",
    ),
)
def status_running(containers: Containers, name: str) -> str:
    return "".join([
        f"{name}{labels}}} {int(status.state.running is not None)}\n" for labels, status in containers.statuses
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_terminated",
        "[STABLE] Describes whether the container is currently in terminated state.",
    ),
    (
        "kube_pod_init_container_status_terminated",
        "[STABLE] Describes whether the init container is currently in terminated state.",
    ),
)
def status_terminated(containers: Containers, name: str) -> str:
    return "".join([
        f"{name}{labels}}} {int(status.state.terminated is not None)}\n" for labels, status in containers.statuses
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_terminated_reason",
        "Describes the reason the container is currently in terminated state.",
    ),
    (
        "kube_pod_init_container_status_terminated_reason",
        "Describes the reason the init container is currently in terminated state.",
    ),
)
def status_terminated_reason(containers: Containers, name: str) -> str:
    return "".join([
        f'{name}{labels},reason="{escape(ended.reason)}"}} 1\n'
        for labels, status in containers.statuses
        if (ended := status.state.terminated) is not None
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_waiting",
        "[STABLE] Describes whether the container is currently in waiting state.",
    ),
    (
        "kube_pod_init_container_status_waiting",
        "[STABLE] Describes whether the init container is currently in waiting state.",
    ),
)
def status_waiting(containers: Containers, name: str) -> str:
    return "".join([
        f"{name}{labels}}} {int(status.state.waiting is not None)}\n" for labels, status in containers.statuses
    ])  # fmt: skip


@container_family(
    GAUGE,
    (
        "kube_pod_container_status_waiting_reason",
        "[STABLE] Describes the reason the container is currently in waiting state.",
    ),
    (
        "kube_pod_init_container_status_waiting_reason",
        "Describes the reason the init container is currently in waiting state.",
    ),
)
def status_waiting_reason(containers: Containers, name: str) -> str:
    return "".join([
        f'{name}{labels},reason="{escape(waits.reason)}"}} 1\n'
        for labels, status in containers.statuses
        if (waits := status.state.waiting) is not None
    ])  # fmt: skip
