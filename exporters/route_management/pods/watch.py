"""What the API server says: lists all pods, then watches them, for ever. Hands pods to a `Sink` (`intake.py`).

`step` lists or watches once and returns the seconds to wait before the next; `run` does so until it is told to stop. The
rules are those of client-go's reflector, with two more: the old state is served until a new list is complete, and a silent
connection is given up.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter

from exporters.route_management.pods import decoding, health
from exporters.route_management.pods.apiserver import ApiError, ApiServer, Refused, Unreachable
from exporters.route_management.pods.backoff import Backoff
from exporters.route_management.pods.decoding import Event, Malformed, Pod

log = logging.getLogger(__name__)

PAGE = 500
SHORT = 1.0
"""A watch that ends sooner and without a word counts as a failure, seconds."""
WATCH_SECONDS = (300, 600)
"""How long the server is asked to keep a watch; random, so that replicas don't come back at once."""
_CHANGES = ("ADDED", "MODIFIED", "DELETED")


class Sink(Protocol):
    """Where pods go."""

    def begin(self) -> None:
        """A new list starts; what is held stays."""

    def add(self, pod: Pod) -> None:
        """A pod of the list."""

    def commit(self) -> None:
        """The list is whole: it takes the place of what was held."""

    def apply(self, kind: str, pod: Pod) -> None:
        """One change: ADDED, MODIFIED or DELETED."""


class PodWatch:
    """Follows the pods of one namespace, or of all (None)."""

    def __init__(
        self,
        server: ApiServer,
        namespace: str | None,
        sink: Sink,
        state: health.WatchHealth,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._namespace, self._sink, self.health = server, namespace, sink, state
        self._backoff, self._clock = backoff or Backoff(), clock
        self._version = ""
        self._page: int | None = PAGE
        self._again = threading.Event()
        self._odd_types: set[str] = set()

    def list_again(self) -> None:
        """List at the next opportunity: somebody missed what a pod said. Called from other threads."""
        self._again.set()

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set."""
        while not stop.is_set():
            try:
                pause = self.step()
            except Exception:
                # whatever it is: what is served stays, and the next try starts from a list
                log.exception("watching pods failed", extra=self._where())
                self._version, pause = "", self._backoff.failed()
            stop.wait(pause)

    def step(self) -> float:
        """List when the pods are not known, else watch until the watch ends; return the seconds to wait now."""
        listing = not self._version or self._again.is_set()
        counter = health.LISTS if listing else health.WATCHES
        try:
            result = self._list() if listing else self._watch()
        except Malformed as error:
            log.warning("the API server's answer can't be read", extra=self._where() | {"error": str(error)})
            counter.labels("malformed").inc()
            self._version = ""
            return self._backoff.failed()
        except ApiError as error:
            return self._failed(error, counter, listing)
        counter.labels(result).inc()
        return self._backoff.failed() if result == "short" else 0.0

    def _list(self) -> str:
        self._again.clear()
        self._sink.begin()
        continue_, count = "", 0
        while True:
            page = decoding.page(self._server.list_pods(self._namespace, self._page, continue_))
            health.BAD.inc(page.bad)
            count += len(page.pods)
            for pod in page.pods:
                self._sink.add(pod)
            continue_ = page.continue_
            if not continue_:
                break
        self._sink.commit()
        # the last page's: where the list was begun again by the server, the first page's would be too old
        self._version, self._page = page.version, PAGE
        if not self._version:
            raise Malformed("the list has no resourceVersion")
        self.health.synced, self.health.forbidden = True, ""
        self.health.heard()
        log.info("pods listed", extra=self._where() | {"pods": count})
        return "success"

    def _watch(self) -> str:
        began, heard = self._clock(), False
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311
        stream = self._server.watch_pods(self._namespace, self._version, seconds)
        self.health.forbidden = ""
        try:
            for line in stream:
                heard = True
                self._take(line)
                if self._again.is_set():
                    return "success"
        finally:
            stream.close()
        return "success" if heard or self._clock() - began >= SHORT else "short"

    def _take(self, line: bytes) -> None:
        try:
            event = decoding.event(line)
        except Malformed as error:
            log.warning("an event can't be read", extra=self._where() | {"error": str(error)[:200]})
            health.BAD.inc()
            return
        health.SEEN.labels(event.type if event.type in health.EVENTS else "unknown").inc()
        if event.type == "ERROR":
            status = event.status or decoding.Status()
            raise Refused(status.code, status.reason, status.message)
        if event.type in _CHANGES:
            self._change(event)
        elif event.type != "BOOKMARK" and event.type not in self._odd_types and len(self._odd_types) < 100:
            self._odd_types.add(event.type)
            log.warning("events of an unknown type are passed over", extra=self._where() | {"type": event.type})
        self._version = event.version or self._version
        self.health.heard()

    def _change(self, event: Event) -> None:
        if event.pod is None:
            health.BAD.inc()
        else:
            self._sink.apply(event.type, event.pod)

    def _failed(self, error: ApiError, counter: Counter, listing: bool) -> float:
        result, asked_for = _named(error), 0.0
        counter.labels(result).inc()
        if isinstance(error, Refused):
            asked_for = error.retry_after
            if error.expired:
                # while paging: once without pages, so that the list is of one moment
                self._page = None if listing else PAGE
                self._version = ""
            elif error.code == 401:
                self._server.renew()
        self.health.forbidden = self._lacking() if result == "forbidden" else ""
        pause = self._backoff.failed(asked_for)
        extra = self._where() | {"result": result, "error": str(error), "pause": f"{pause:.1f}s"}
        log.log(
            logging.INFO if result == "expired" else logging.WARNING,
            "list of pods failed" if listing else "watch of pods ended",
            extra=extra,
        )
        return pause

    def _lacking(self) -> str:
        kind = "Role" if self._namespace else "ClusterRole"
        return f"forbidden: its {kind} must allow the verbs list and watch on pods"

    def _where(self) -> dict[str, str]:
        return {"namespace": self._namespace or "*"}


def _named(error: ApiError) -> str:
    """Return the result that the counters know."""
    if isinstance(error, Unreachable):
        return "silent" if error.silent else "unreachable"
    if not isinstance(error, Refused):
        return "refused"
    if error.expired:
        return "expired"
    return {401: "unauthorized", 403: "forbidden", 429: "throttled", 503: "throttled"}.get(error.code, "refused")
