"""What the exporter says of itself: counters, and why it is not ready. Written by `watch.py` and `intake.py`.

One `WatchHealth` a watch; `trouble` is what /readyz asks.
"""

import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge

SILENCE = 300.0
"""Seconds without an event or a bookmark after which the state may be old: bookmarks come about once a minute."""

RESULTS = (
    "success",
    "expired",
    "unauthorized",
    "forbidden",
    "throttled",
    "refused",
    "unreachable",
    "silent",
    "malformed",
)
"""How a list ended."""
WATCH_RESULTS = (*RESULTS, "short")
"""How a watch ended: `short`, within a second and without a word."""
EVENTS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "unknown")

LISTS = Counter("mission_pod_exporter_lists_total", "Lists of pods, by how they ended.", ["result"])
WATCHES = Counter("mission_pod_exporter_watches_total", "Watches of pods, by how they ended.", ["result"])
SEEN = Counter("mission_pod_exporter_events_total", "Events of watches.", ["type"])
BAD = Counter("mission_pod_exporter_bad_objects_total", "Pods and lines of watches that could not be read: skipped.")
SYNCED = Gauge("mission_pod_exporter_synced", "1: the pods of every watched namespace have been listed.")
LAST = Gauge("mission_pod_exporter_last_event_timestamp_seconds", "When the last event, bookmark or list came.")

for _result in RESULTS:
    LISTS.labels(_result)
for _result in WATCH_RESULTS:
    WATCHES.labels(_result)
for _type in EVENTS:
    SEEN.labels(_type)


class WatchHealth:
    """What one watch has seen."""

    def __init__(self, namespace: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.namespace, self.synced = namespace, False
        self.forbidden = ""
        self._clock, self._heard = clock, clock()

    def heard(self) -> None:
        """Note a sign of life: an event, a bookmark, a list."""
        self._heard = self._clock()
        LAST.set_to_current_time()

    def trouble(self) -> str | None:
        """Return None when what is served is of now, else one sentence."""
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        if self.forbidden:
            return f"{where}: {self.forbidden}"
        if not self.synced:
            return f"{where}: pods are not listed yet"
        silent = self._clock() - self._heard
        return f"{where}: nothing heard for {silent:.0f} s" if silent > SILENCE else None
