"""CPU and memory of containers from metrics.k8s.io: gauges for a scrape, and samples for `usage_rows.py`.

Polled at an interval of its own, in a thread of its own (`service.py`). A cluster without that API is said once; the gauge
`mission_pod_exporter_usage_up` says 0 and everything else goes on.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec
from prometheus_client import Counter, Gauge
from prometheus_client.core import GaugeMetricFamily

from exporters.route_management.pods.apiserver import ApiError, ApiServer, Refused
from exporters.route_management.pods.backoff import Backoff
from exporters.route_management.pods.decoding import unix
from exporters.route_management.pods.families import Family, escape
from exporters.route_management.pods.gzip_stream import Piece, piece
from exporters.route_management.pods.quantities import decimal, exact
from exporters.route_management.pods.store import Store

log = logging.getLogger(__name__)

_LABELS = ("tenant", "namespace", "pod", "container")
CPU = GaugeMetricFamily(
    "mission_container_cpu_usage_cores", "Use of CPU, mean of metrics.k8s.io's window.", labels=_LABELS
)
MEMORY = GaugeMetricFamily(
    "mission_container_memory_working_set_bytes", "Working set by metrics.k8s.io.", labels=_LABELS
)
_CPU = Family(CPU.name, CPU.documentation)
_MEMORY = Family(MEMORY.name, MEMORY.documentation)

UP = Gauge("mission_pod_exporter_usage_up", "1: metrics.k8s.io answered the last poll; 0: it did not, or is not asked.")
RESULTS = ("success", "absent", "failed")
POLLS = Counter("mission_pod_exporter_usage_polls_total", "Polls of metrics.k8s.io, by how they ended.", ["result"])
for _result in RESULTS:
    POLLS.labels(_result)

_STALE = 3
"""Polls that may fail before what was last heard is served no more."""


class _Usage(msgspec.Struct, frozen=True, gc=False):
    cpu: str | int | float = 0
    memory: str | int | float = 0


class _Container(msgspec.Struct, frozen=True, gc=False):
    name: str
    usage: _Usage = _Usage()


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    name: str
    namespace: str = ""


class _PodMetrics(msgspec.Struct, frozen=True, gc=False):
    metadata: _Metadata
    timestamp: str | None = None
    containers: list[_Container] | None = None


class _ListMetadata(msgspec.Struct, frozen=True, gc=False):
    continue_: str = msgspec.field(default="", name="continue")


class _PodMetricsList(msgspec.Struct, frozen=True, gc=False):
    metadata: _ListMetadata = _ListMetadata()
    items: list[_PodMetrics] | None = None


_LIST: msgspec.json.Decoder[_PodMetricsList] = msgspec.json.Decoder(_PodMetricsList)


class Sample(NamedTuple):
    """What one container used at one time (Unix seconds)."""

    tenant: str
    namespace: str
    pod: str
    container: str
    time: int
    cores: Fraction
    bytes: int


class Usage:
    """Polls, and keeps the last answer as bytes."""

    def __init__(
        self, server: ApiServer, namespaces: Sequence[str | None], store: Store, keep: Callable[[list[Sample]], None]
    ) -> None:
        """`keep` is given each poll's samples."""
        self._server, self._namespaces, self._store, self._keep = server, namespaces, store, keep
        self._told: list[tuple[Family, bytes, Piece]] = []
        self._misses, self._absent_said = 0, False

    def run(self, stop: threading.Event, interval: float) -> None:
        """Poll every `interval` seconds until `stop` is set."""
        backoff = Backoff()
        while not stop.is_set():
            began = time.monotonic()
            try:
                pause = 0.0 if self.step() else backoff.failed()
            except Exception:
                log.exception("usage of containers: the poll failed")
                pause = backoff.failed()
            stop.wait(max(pause, interval - (time.monotonic() - began)))

    def step(self) -> bool:
        """Poll once; return whether metrics.k8s.io answered."""
        try:
            samples = [sample for namespace in self._namespaces for sample in self._poll(namespace)]
        except (ApiError, msgspec.MsgspecError) as error:
            self._missed(error)
            return False
        UP.set(1)
        POLLS.labels("success").inc()
        self._misses, self._absent_said = 0, False
        self._told = _blocks(samples)
        self._keep(samples)
        return True

    def plain(self, openmetrics: bool) -> list[bytes]:
        """Return both families for a scrape; nothing before the first poll or after too many that failed."""
        return [part for family, lines, _ in self._told for part in (family.header(openmetrics), lines)]

    def pieces(self, openmetrics: bool) -> list[Piece]:
        """Return the same, compressed."""
        return [part for family, _, lines in self._told for part in (piece(family.header(openmetrics)), lines)]

    def _missed(self, error: Exception) -> None:
        UP.set(0)
        absent = isinstance(error, Refused) and error.code in (403, 404)
        POLLS.labels("absent" if absent else "failed").inc()
        self._misses += 1
        if self._misses >= _STALE:
            self._told = []
        if absent and self._absent_said:
            return
        cure = (
            ": install metrics-server and allow list on pods of metrics.k8s.io, or leave out --usage" if absent else ""
        )
        log.warning("usage of containers is not known" + cure, extra={"error": str(error)})
        self._absent_said = absent

    def _poll(self, namespace: str | None) -> list[Sample]:
        samples: list[Sample] = []
        continue_ = ""
        while True:
            page = _LIST.decode(self._server.pod_metrics(namespace, continue_))
            for pod in page.items or ():
                samples += self._of_pod(pod)
            continue_ = page.metadata.continue_
            if not continue_:
                return samples

    def _of_pod(self, pod: _PodMetrics) -> list[Sample]:
        # only pods that are held: so the shard and the tenant are the same as on every other series
        held = self._store.named(pod.metadata.namespace, pod.metadata.name)
        if held is None:
            return []
        moment = unix(pod.timestamp) or int(time.time())
        return [
            Sample(held.tenant, held.namespace, held.name, container.name, moment, cores, int(memory))
            for container in pod.containers or ()
            if (cores := exact(container.usage.cpu)) is not None
            and (memory := exact(container.usage.memory)) is not None
        ]


def _blocks(samples: Sequence[Sample]) -> list[tuple[Family, bytes, Piece]]:
    cpu, memory = [], []
    for sample in samples:
        labels = (
            f'{{tenant="{sample.tenant}",namespace="{escape(sample.namespace)}",pod="{escape(sample.pod)}",'
            f'container="{escape(sample.container)}"}}'
        )
        cpu.append(f"{_CPU.name}{labels} {decimal(sample.cores)}\n")
        memory.append(f"{_MEMORY.name}{labels} {sample.bytes}\n")
    plain = [(_CPU, "".join(cpu).encode()), (_MEMORY, "".join(memory).encode())]
    return [(family, lines, piece(lines)) for family, lines in plain]
