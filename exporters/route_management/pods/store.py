"""The bytes of all pods, in buckets, with a note of what changed. Written by `intake.py`, read by `exposition.py`, `usage.py`.

A bucket holds the pods of one hash; what a change touches is one bucket's lines of those families whose bytes differ. The
lock is held for moments only: a reader takes references to tuples that never change, and does its work without it.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporters.route_management.pods.render import Rendered

BUCKETS = 1024
"""10 pods each at 10,000: with 200 changed, a sixth of the buckets is made anew (benchmarks/pods_scrape.py)."""

Parts = tuple[bytes, ...]


class Changed(NamedTuple):
    """A bucket to be made anew: the families whose bit is set, from all pods' parts."""

    bucket: int
    families: int
    pods: list[Parts]


class Store:
    """All pods that the exporter holds."""

    def __init__(self, families: int, buckets: int = BUCKETS) -> None:
        self._lock = threading.Lock()
        self._families, self._count = families, buckets
        self._buckets: list[dict[str, Parts]] = [{} for _ in range(buckets)]
        self._changed: dict[int, int] = {}
        self._pods: dict[str, Rendered] = {}
        self._uids: dict[tuple[str, str], str] = {}
        self._nameless = 0

    def __len__(self) -> int:
        return len(self._pods)

    @property
    def without_tenant(self) -> int:
        """How many pods name no tenant."""
        return self._nameless

    def known(self, pod: Rendered) -> Rendered:
        """Return what is held where it is the same, so that a list made again takes no memory twice."""
        held = self._pods.get(pod.uid)
        return held if held == pod else pod

    def put(self, pod: Rendered) -> str | None:
        """Take a new or changed pod; return the uid of another pod of its name, which is gone with that."""
        with self._lock:
            return self._put(pod)

    def drop(self, uid: str) -> None:
        with self._lock:
            self._drop(uid)

    def replace(self, held: Iterable[str], pods: Mapping[str, Rendered]) -> set[str]:
        """Put these pods in the place of those that were `held`, at once; return the uids of those that are gone."""
        with self._lock:
            gone = {uid for uid in held if uid not in pods}
            for uid in gone:
                self._drop(uid)
            for pod in pods.values():
                former = self._put(pod)
                if former is not None:
                    gone.add(former)
            return gone

    def named(self, namespace: str, name: str) -> Rendered | None:
        """Return the pod of this name."""
        uid = self._uids.get((namespace, name))
        return None if uid is None else self._pods.get(uid)

    def take_changed(self) -> list[Changed]:
        """Return the buckets that changed since the last call, with all their pods as they were at one moment."""
        with self._lock:
            taken = [
                Changed(bucket, families, list(self._buckets[bucket].values()))
                for bucket, families in self._changed.items()
            ]
            self._changed = {}
            return taken

    def all_parts(self) -> list[Parts]:
        """Return all pods' lines as they are at one moment."""
        with self._lock:
            return [parts for bucket in self._buckets for parts in bucket.values()]

    def _put(self, pod: Rendered) -> str | None:
        former = self._uids.get((pod.namespace, pod.name))
        if former is not None and former != pod.uid:
            self._drop(former)
        held = self._pods.get(pod.uid)
        if held is not pod:
            self._note(held, pod)
        return former if former != pod.uid else None

    def _note(self, held: Rendered | None, pod: Rendered) -> None:
        families, parts = 0, pod.parts
        if held is None:
            for i, part in enumerate(parts):
                if part:
                    families |= 1 << i
            self._nameless += not pod.tenant
        else:
            shared = list(held.parts)
            for i, part in enumerate(parts):
                if part != shared[i]:
                    shared[i] = part
                    families |= 1 << i
            parts = tuple(shared)
            self._nameless += (not pod.tenant) - (not held.tenant)
        bucket = hash(pod.uid) % self._count
        self._buckets[bucket][pod.uid] = parts
        self._pods[pod.uid] = pod._replace(parts=parts)
        self._uids[pod.namespace, pod.name] = pod.uid
        if families:
            self._changed[bucket] = self._changed.get(bucket, 0) | families

    def _drop(self, uid: str) -> None:
        held = self._pods.pop(uid, None)
        if held is None:
            return
        if self._uids.get((held.namespace, held.name)) == uid:
            del self._uids[held.namespace, held.name]
        self._nameless -= not held.tenant
        bucket = hash(uid) % self._count
        del self._buckets[bucket][uid]
        families = sum(1 << i for i, part in enumerate(held.parts) if part)
        self._changed[bucket] = self._changed.get(bucket, 0) | families
