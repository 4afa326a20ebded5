"""Requests into userdb: failed ones as MonitorEvents, all of them as minutes. Fed by `middleware.py`, written by a thread.

A request only ever takes a lock for microseconds: both buffers are bounded, what finds no room is counted, and nobody but the
thread waits for userdb. Events have an id and minutes an absolute value, so that a write whose reply was lost doubles nothing.
"""

import atexit
import json
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, connections
from prometheus_client import Counter

from exporters.route_management import rows
from exporters.route_management.floods import Floods, Rest, kind_of
from exporters.route_management.pods.backoff import Backoff
from exporters.route_management.rollups import Rollups, upsert
from userdb import health
from userdb.router import alias
from userdb.transactions import UserdbAway, in_transaction

log = logging.getLogger(__name__)

ROOM = 5_000
"""Events that may wait: about 5 MB."""
BATCH = 500
TURN = 1.0
"""Seconds from one look at the buffers to the next."""
ROLLUPS_EVERY = 10.0
"""Seconds from one write of the minutes to the next: what a process that is killed loses of them."""
SOURCE = "route_management"
LEVELS = {"auth": "warning", "client_gone": "info"}
"""Levels of reasons; of the others `error`."""

RESULTS = ("kept", "summed", "overflow", "refused", "lost")
"""In full in userdb; counted in a minute's summary; no room; refused by userdb; not written before the process' end."""
EVENTS = Counter("mission_gateway_request_events_total", "Failed requests, by what became of their event.", ["result"])
ROLLUPS_LOST = Counter(
    "mission_gateway_rollups_lost_total", "Requests whose minute did not reach userdb, by the reason.", ["reason"]
)
for _result in RESULTS:
    EVENTS.labels(_result)
for _reason in ("overflow", "refused", "lost"):
    ROLLUPS_LOST.labels(_reason)
_summed, _overflow = EVENTS.labels("summed"), EVENTS.labels("overflow")

_Row = tuple[object, ...]


class RequestHistory:
    """`count` and `failed` from any thread; the writer starts with the first of them, and ends with the process."""

    def __init__(
        self,
        background: bool = True,
        room: int = ROOM,
        clock: Callable[[], float] = time.time,
        backoff: Backoff | None = None,
    ) -> None:
        """Without `background` there is no thread: `step` is called by hand."""
        self._background, self._room, self._clock = background, room, clock
        self._backoff = backoff or Backoff()
        self._empty()

    def _empty(self) -> None:
        # re-entrant: a body that the garbage collector closes may end a request in the midst of another's
        self._lock = threading.RLock()
        self._floods = Floods()
        self._waiting: deque[_Row] = deque()
        self._rollups = Rollups(clock=self._clock)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._rollups_at = 0.0

    def after_fork(self) -> None:
        """Begin anew in a server's child process: what waits is the parent's to write, and the thread is not here."""
        self._empty()

    def count(self, tenant: str, outcome: str, seconds: float) -> None:
        """Count a request in its minute."""
        if self._thread is None and self._background:
            self._start()
        lost = self._rollups.add(tenant, outcome, seconds)
        if lost:
            ROLLUPS_LOST.labels("overflow").inc(lost)

    def failed(self, tenant: str, route: str, reason: str, told: Callable[[], tuple[str, dict[str, Any]]]) -> None:
        """Take a failed request; `told` returns its message and detail, asked for only when it is kept in full."""
        kind = kind_of(tenant, route, reason)
        now = self._clock()
        with self._lock:
            self._floods.turn(int(now // 60), self._summary)
            admitted = self._floods.admit(kind)
        if admitted is False:
            _summed.inc()
        elif admitted is None or len(self._waiting) >= self._room:
            _overflow.inc()
        else:
            self._waiting.append(_row(now, tenant, reason, *told()))

    def _summary(self, rest: Rest) -> None:
        (tenant, route, reason), minute, count = rest.kind, rest.minute, rest.count
        if len(self._waiting) >= self._room:
            _overflow.inc()
            return
        at = datetime.fromtimestamp(minute * 60, UTC)
        message = f"{count} more requests failed in the minute {at:%R}{' to ' + route if route else ''}: {reason}"
        detail = {"reason": reason, "requests": count, "minute": at.isoformat()} | ({"route": route} if route else {})
        self._waiting.append(_row(minute * 60, tenant, reason, message, detail))

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="request-history", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = TURN
        while not self._stop.wait(pause):
            pause = TURN
            try:
                connections[alias()].close_if_unusable_or_obsolete()
                pause += self.step()
            except Exception:
                # a defect of ours must not end the history of a process that goes on
                log.exception("requests not written")
        self._last_step()
        connections[alias()].close()

    def _last_step(self) -> None:
        with self._lock:
            self._floods.turn(-1, self._summary)
        self.step(last=True)

    def close(self, seconds: float = 6.0) -> None:
        """Write what waits, for so many seconds at most. What is left is counted as lost; nothing the second time."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread is None:
            self._last_step()
        else:
            self._thread.join(seconds)
        events, requests = len(self._waiting), self._rollups.forget(self._rollups.changed())
        EVENTS.labels("lost").inc(events)
        ROLLUPS_LOST.labels("lost").inc(requests)
        if events or requests:
            # nobody scrapes a process that has ended
            log.error("requests are missing in userdb", extra={"events": events, "requests_of_minutes": requests})

    def step(self, last: bool = False) -> float:
        """Write what waits; return the seconds to wait longer when userdb does not take it, else 0."""
        if not last:
            with self._lock:
                self._floods.turn(int(self._clock() // 60), self._summary)
        due = last or time.monotonic() - self._rollups_at >= ROLLUPS_EVERY
        if not self._waiting and not (due and len(self._rollups)):
            return 0.0
        try:
            self._write_events()
            if due:
                self._write_rollups()
        except (UserdbAway, DatabaseError) as error:
            connections[alias()].close()
            health.UP.set(0)
            log.warning("requests wait for userdb", extra={"error": str(error), "events": len(self._waiting)})
            return self._backoff.failed()
        health.UP.set(1)
        return 0.0

    def _write_events(self) -> None:
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]  # alone in taking from the left
            try:
                in_transaction(lambda batch=batch: rows.insert("request", batch))  # type: ignore[misc]
                EVENTS.labels("kept").inc(len(batch))
            except (DataError, IntegrityError) as error:
                # what userdb refuses for good would stand in the way of all that follow
                log.error("userdb refuses failed requests", extra={"error": str(error), "events": len(batch)})
                EVENTS.labels("refused").inc(len(batch))
            with self._lock:
                for _ in batch:
                    self._waiting.popleft()

    def _write_rollups(self) -> None:
        changed = self._rollups.changed()
        for start in range(0, len(changed), BATCH):
            part = changed[start : start + BATCH]
            try:
                in_transaction(lambda part=part: upsert(part))  # type: ignore[misc]
                self._rollups.written(part)
            except (DataError, IntegrityError) as error:
                log.error("userdb refuses minutes of requests", extra={"error": str(error), "rows": len(part)})
                ROLLUPS_LOST.labels("refused").inc(self._rollups.forget(part))
        self._rollups_at = time.monotonic()


def _row(at: float, tenant: str, reason: str, message: str, detail: dict[str, Any]) -> _Row:
    """Return the values of `rows.COLUMNS`. No task: a request is no business run."""
    moment = datetime.fromtimestamp(at, UTC)
    text = json.dumps(detail, ensure_ascii=False)
    return (str(uuid.uuid4()), moment, tenant, "", reason, LEVELS.get(reason, "error"), message, text, SOURCE)


_of_process: RequestHistory | None = None


def of_process() -> RequestHistory:
    """Return the one of this process; it is closed at the process' end."""
    global _of_process
    if _of_process is None:
        _of_process = RequestHistory()
        atexit.register(_of_process.close)
        os.register_at_fork(after_in_child=_of_process.after_fork)
    return _of_process
