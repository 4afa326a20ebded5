"""One pod as it comes: is it ours, its bytes into the store, its changes to the tracker. One `Intake` a watch.

Called by `watch.py` in that watch's thread. A pod that can't be rendered is counted and skipped; it harms no other.
"""

import logging
import time

from prometheus_client import Counter

from exporters.route_management.pods.decoding import Pod
from exporters.route_management.pods.health import BAD
from exporters.route_management.pods.render import Rendered, Renderer
from exporters.route_management.pods.sharding import Shard
from exporters.route_management.pods.store import Store
from exporters.route_management.pods.tracker import Tracker

log = logging.getLogger(__name__)

RENDER = Counter("mission_pod_exporter_render_seconds_total", "Time spent on turning pods into lines.")


class Intake:
    """Holds what one watch has said."""

    def __init__(self, renderer: Renderer, store: Store, shard: Shard, tracker: Tracker | None = None) -> None:
        self._renderer, self._store, self._shard, self._tracker = renderer, store, shard, tracker
        self._held: set[str] = set()
        self._listed: dict[str, Rendered] = {}

    def begin(self) -> None:
        self._listed = {}

    def add(self, pod: Pod) -> None:
        rendered = self._rendered(pod)
        if rendered is not None:
            self._listed[rendered.uid] = self._store.known(rendered)

    def commit(self) -> None:
        listed, self._listed = self._listed, {}
        gone = self._store.replace(self._held, listed)
        self._held = set(listed)
        if self._tracker is not None:
            for uid in gone:
                self._tracker.gone(uid)

    def apply(self, kind: str, pod: Pod) -> None:
        rendered = self._rendered(pod)
        if rendered is None:
            return
        if kind == "DELETED":
            self._store.drop(rendered.uid)
            self._forget(rendered.uid)
            return
        self._held.add(rendered.uid)
        former = self._store.put(rendered)
        if former is not None:
            self._forget(former)

    def _forget(self, uid: str) -> None:
        self._held.discard(uid)
        if self._tracker is not None:
            self._tracker.gone(uid)

    def _rendered(self, pod: Pod) -> Rendered | None:
        """Return the pod's lines, its changes told; None when it is another shard's or can't be rendered."""
        if not self._shard.holds(pod.metadata.uid):
            return None
        began = time.perf_counter()
        try:
            rendered = self._renderer.render(pod)
            if self._tracker is not None:
                self._tracker.see(pod, rendered.tenant)
        except Exception:
            log.exception("a pod was skipped", extra={"namespace": pod.metadata.namespace, "pod": pod.metadata.name})
            BAD.inc()
            return None
        RENDER.inc(time.perf_counter() - began)
        return rendered
