"""One pod to bytes: the lines of each family. Called by `intake.py` for each pod that comes, read by `store.py`.

The work is done once a change, not once a scrape: a scrape only puts bytes together.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

# imported for what they register
from exporters.route_management.pods import container_families as _  # noqa: F401
from exporters.route_management.pods.decoding import Container, ContainerStatus, Pod
from exporters.route_management.pods.families import (
    CONTAINER_FAMILIES,
    POD_FAMILIES,
    ContainerFamily,
    Containers,
    Family,
    PodFamily,
    escape,
)
from exporters.route_management.pods.pod_families import labels_family
from exporters.route_management.pods.tenants import tenant_of


class Rendered(NamedTuple):
    """What is kept of a pod: who it is, and its lines by family, in the order of `Renderer.families`."""

    uid: str
    namespace: str
    name: str
    tenant: str
    parts: tuple[bytes, ...]


class Renderer:
    """Knows which families are wanted and which label names the tenant."""

    def __init__(self, tenant_label: str, pod_labels: Sequence[str] = (), left_out: Sequence[str] = ()) -> None:
        """`left_out` are regular expressions, each for whole names of metrics."""
        self.tenant_label = tenant_label
        wanted: list[PodFamily | ContainerFamily] = [*POD_FAMILIES, labels_family(pod_labels), *CONTAINER_FAMILIES]
        patterns = [re.compile(pattern) for pattern in left_out]
        kept = [one for one in wanted if not any(pattern.fullmatch(one.family.name) for pattern in patterns)]
        kept.sort(key=lambda one: one.family.name)
        self.families: tuple[Family, ...] = tuple(one.family for one in kept)
        self._of_pods = [(i, one.lines) for i, one in enumerate(kept) if isinstance(one, PodFamily)]
        of_containers = [(i, one) for i, one in enumerate(kept) if isinstance(one, ContainerFamily)]
        self._of_containers = [(i, one.lines, one.family.name) for i, one in of_containers if not one.init]
        self._of_init = [(i, one.lines, one.family.name) for i, one in of_containers if one.init]

    def render(self, pod: Pod) -> Rendered:
        """Return the pod's lines. Nothing of the pod itself is kept."""
        metadata = pod.metadata
        tenant = tenant_of(metadata.labels, self.tenant_label)
        labels = (
            f'{{namespace="{escape(metadata.namespace)}",pod="{escape(metadata.name)}",uid="{escape(metadata.uid)}",'
            f'tenant="{tenant}"'
        )
        parts = [b""] * len(self.families)
        for i, of_pod in self._of_pods:
            parts[i] = of_pod(pod, labels).encode("utf-8", "replace")
        spec, status = pod.spec, pod.status
        containers = _containers(labels, spec.containers, status.container_statuses, spec.node_name)
        for i, of_containers, name in self._of_containers:
            parts[i] = of_containers(containers, name).encode("utf-8", "replace")
        if spec.init_containers or status.init_container_statuses:
            init = _containers(labels, spec.init_containers, status.init_container_statuses, spec.node_name)
            for i, of_containers, name in self._of_init:
                parts[i] = of_containers(init, name).encode("utf-8", "replace")
        return Rendered(metadata.uid, metadata.namespace, metadata.name, tenant, tuple(parts))


def _containers(
    labels: str, specs: list[Container] | None, statuses: list[ContainerStatus] | None, node: str
) -> Containers:
    named = {spec.name: f'{labels},container="{escape(spec.name)}"' for spec in specs or ()}
    for status in statuses or ():
        if status.name not in named:
            named[status.name] = f'{labels},container="{escape(status.name)}"'
    return Containers(
        [(named[spec.name], spec) for spec in specs or ()],
        [(named[status.name], status) for status in statuses or ()],
        node,
    )
