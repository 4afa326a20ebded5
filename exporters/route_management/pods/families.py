"""Metric families, one function each: pod in, exposition lines out. Read by `render.py` and `exposition.py`.

Names, types, HELP, labels and the rules of when a line is there are kube-state-metrics 2.20's (source: its
internal/store/pod.go); `tenant` follows `uid` on every line. Unlike there, a time that is not set makes no line (Go's zero
time would be -62135596800). The functions stand in `pod_families.py` and `container_families.py`, found by a grep of the
metric's name.
"""

from collections.abc import Callable
from typing import NamedTuple

from exporters.route_management.pods.decoding import Container, ContainerStatus, Pod

GAUGE, COUNTER = "gauge", "counter"


class Family(NamedTuple):
    """One metric as it is exposed."""

    name: str
    help: str
    type: str = GAUGE

    def header(self, openmetrics: bool) -> bytes:
        """Return the lines HELP and TYPE. OpenMetrics names a counter without its `_total`."""
        name = self.name.removesuffix("_total") if openmetrics and self.type == COUNTER else self.name
        text = self.help.replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {name} {text}\n# TYPE {name} {self.type}\n".encode()


class Containers(NamedTuple):
    """The containers, or the init containers, of one pod; each with its lines' labels, without the closing brace."""

    specs: list[tuple[str, Container]]
    statuses: list[tuple[str, ContainerStatus]]
    node: str


OfPod = Callable[[Pod, str], str]
"""(pod, labels without the closing brace) -> lines."""
OfContainers = Callable[[Containers, str], str]
"""(containers, metric's name) -> lines."""


class PodFamily(NamedTuple):
    family: Family
    lines: OfPod


class ContainerFamily(NamedTuple):
    family: Family
    init: bool
    lines: OfContainers


POD_FAMILIES: list[PodFamily] = []
CONTAINER_FAMILIES: list[ContainerFamily] = []


def pod_family(name: str, text: str) -> Callable[[OfPod], OfPod]:
    """Register the function that makes this gauge's lines."""

    def register(lines: OfPod) -> OfPod:
        POD_FAMILIES.append(PodFamily(Family(name, text), lines))
        return lines

    return register


def container_family(kind: str, *named: tuple[str, str] | None) -> Callable[[OfContainers], OfContainers]:
    """Register the function that makes these families' lines: (name, HELP) for containers, then for init containers."""

    def register(lines: OfContainers) -> OfContainers:
        for init, told in enumerate(named):
            if told is not None:
                CONTAINER_FAMILIES.append(ContainerFamily(Family(*told, kind), bool(init), lines))
        return lines

    return register


def escape(value: str) -> str:
    """Return a label's value as both formats want it."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value
