"""Events of containers into userdb: a bounded queue and a thread of its own. Fed by `tracker.py`, never from its statement.

Many events are one statement, which passes over those that userdb has (`rows.py`), so that restarts and replicas double
nothing. While userdb is away the queue waits; what finds no room is offered again once the pods have been listed again.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, DataError, IntegrityError, connections
from prometheus_client import Counter, Gauge

from exporters.route_management import rows
from exporters.route_management.pods import connection
from exporters.route_management.pods.backoff import Backoff
from exporters.route_management.pods.decoding import unix
from exporters.route_management.pods.transitions import NOT_READY, READY_AGAIN, SOURCE, Event
from runtime.closed_sets import UNKNOWN
from userdb import health
from userdb.models import MonitorEvent
from userdb.router import alias
from userdb.transactions import UserdbAway, in_transaction

log = logging.getLogger(__name__)

ROOM = 20_000
"""Events that may wait: about 40 MB, an hour's of 1,000 pods that crash every three minutes."""
BATCH = 500
LINGER = 0.2
"""Seconds that the first event of a batch waits for others."""
_RECALL = timedelta(days=7)

RESULTS = ("kept", "duplicate", "refused", "overflow")
"""kept; known already (a restart, a replica); refused by userdb for good; no room: offered again."""
EVENTS = Counter(
    "mission_pod_exporter_history_events_total", "Events of containers, by what became of them.", ["result"]
)
QUEUE = Gauge("mission_pod_exporter_history_queue_events", "Events of containers that wait for userdb.")
for _result in RESULTS:
    EVENTS.labels(_result)


class History:
    """`offer` from any thread; `run` in one of its own."""

    def __init__(
        self, on_room: Callable[[], None] = lambda: None, room: int = ROOM, backoff: Backoff | None = None
    ) -> None:
        """`on_room` is called when there is room again after events were refused."""
        self._on_room, self._room = on_room, room
        self._backoff = backoff or Backoff()
        self._waiting: deque[Event] = deque()
        self._filled = threading.Condition()
        self._overflowed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, event: Event) -> bool:
        """Take the event; False when there is no room for it now."""
        with self._filled:
            if len(self._waiting) >= self._room:
                self._overflowed = True
                EVENTS.labels("overflow").inc()
                return False
            self._waiting.append(event)
            QUEUE.set(len(self._waiting))
            self._filled.notify()
            return True

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set, then once more what waits."""
        while not stop.is_set():
            with self._filled:
                if not self._waiting:
                    self._filled.wait(1.0)
            if self._waiting and not stop.wait(LINGER):
                stop.wait(self._try())
        self._try()
        connections[alias()].close()

    def _try(self) -> float:
        try:
            return self.step()
        except Exception:
            # whatever it is: events are still taken, and tried again
            log.exception("writing events failed")
            return self._backoff.failed()

    def step(self) -> float:
        """Write all that waits; return the seconds to wait when userdb does not take it, else 0."""
        connection.renew()
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]  # alone in taking from the left
            try:
                self._write(batch)
            except UserdbAway as error:
                pause = self._backoff.failed()
                health.UP.set(0)
                log.warning(
                    "events wait for userdb",
                    extra={"error": str(error), "waiting": len(self), "pause": f"{pause:.1f}s"},
                )
                return pause
            health.UP.set(1)
            with self._filled:
                for _ in batch:
                    self._waiting.popleft()
                QUEUE.set(len(self._waiting))
        if self._overflowed:
            self._overflowed = False
            self._on_room()
        return 0.0

    def _write(self, batch: Sequence[Event]) -> None:
        try:
            new = in_transaction(lambda: rows.insert("container", map(_row, batch)))
        except (DataError, IntegrityError, TypeError, ValueError) as error:
            if len(batch) > 1:
                # one that userdb can't take harms no other
                for event in batch:
                    self._write([event])
                return
            EVENTS.labels("refused").inc()
            log.error(
                "userdb refuses an event", extra={"message_of_event": batch[0].message[:200], "error": str(error)}
            )
            return
        except DatabaseError as error:
            raise UserdbAway(f"userdb: {error}") from error  # a table that is not there yet
        EVENTS.labels("kept").inc(new)
        EVENTS.labels("duplicate").inc(len(batch) - new)

    def told_as_not_ready(self) -> dict[str, int]:
        """Return the pods (uid: since when) that userdb knows as not ready and not as ready again. Raises UserdbAway."""

        def work() -> dict[str, int]:
            told = MonitorEvent.objects.filter(
                received_at__gte=datetime.now(UTC) - _RECALL,
                event_type="container",
                source=SOURCE,
                detail__reason__in=[NOT_READY, READY_AGAIN],
            ).order_by("id")
            open_: dict[tuple[str, str], int] = {}
            for detail in filter(None, told.values_list("detail", flat=True)):
                key = (str(detail.get("uid")), str(detail.get("since")))
                since = unix(key[1])
                if detail["reason"] == READY_AGAIN:
                    open_.pop(key, None)
                elif since is not None:
                    open_[key] = since
            return {uid: since for (uid, _), since in open_.items()}

        try:
            return in_transaction(work)
        except DatabaseError as error:
            raise UserdbAway(f"userdb: {error}") from error


def _row(event: Event) -> tuple[object, ...]:
    detail = json.dumps(event.detail, ensure_ascii=False)
    tenant = event.tenant or UNKNOWN
    # no task: a container is no business run
    return (event.id, event.occurred_at, tenant, "", event.failure_type, event.level, event.message, detail, SOURCE)
