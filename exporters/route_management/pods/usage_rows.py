"""Samples of usage to rows of ContainerUsage: one a minute and container, written when the minute is over.

Called by `usage.py` with each poll, in its thread. Replicas write the same keys: the later one's mean stands. What userdb
does not take is kept for a few minutes, then given up and counted; usage is no transition.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from itertools import islice
from time import time

from django.db import DatabaseError, connections
from prometheus_client import Counter

from exporters.route_management.pods import connection
from exporters.route_management.pods.usage import Sample
from runtime.closed_sets import UNKNOWN
from userdb import rowsets
from userdb.router import alias
from userdb.rowsets import INTEGER, KEY, REAL, TIME
from userdb.transactions import UserdbAway, in_transaction

log = logging.getLogger(__name__)

BATCH = 2000
"""Rows a transaction: SQLite has one writer, who must not make the others wait."""
ROOM = 150_000
"""Rows that may wait for userdb: five minutes of 10,000 pods with 3 containers."""
RESULTS = ("kept", "lost")
ROWS = Counter("mission_pod_exporter_usage_rows_total", "Minutes of usage, by what became of them.", ["result"])
for _result in RESULTS:
    ROWS.labels(_result)

_COLUMNS = {
    "tenant": KEY, "minute": TIME, "namespace": KEY, "pod": KEY, "container": KEY, "cpu_cores": REAL,
    "memory_bytes": INTEGER,
}  # fmt: skip
_VALUES = ("cpu_cores", "memory_bytes")
_Key = tuple[str, int, str, str, str]


class UsageRows:
    """Sums up samples by minute."""

    def __init__(self, clock: Callable[[], float] = time, room: int = ROOM) -> None:
        self._clock, self._room = clock, room
        self._minutes: dict[_Key, tuple[int, Fraction, int]] = {}
        self._last: dict[tuple[str, str, str], int] = {}

    def keep(self, samples: Sequence[Sample]) -> None:
        """Add samples, and write the minutes that are over. What userdb does not take waits for the next call."""
        seen: dict[tuple[str, str, str], int] = {}
        for sample in samples:
            name = (sample.namespace, sample.pod, sample.container)
            seen[name] = sample.time
            if self._last.get(name) == sample.time:
                continue  # metrics-server measures less often than we ask: the same sample once more
            key = (sample.tenant or UNKNOWN, sample.time // 60, *name)
            count, cores, memory = self._minutes.get(key, (0, Fraction(0), 0))
            self._minutes[key] = (count + 1, cores + sample.cores, memory + sample.bytes)
        self._last = seen
        # a minute later, so that no sample of it is still to come: the mean would be that one sample's
        self.write((int(self._clock()) - 60) // 60)

    def write(self, before: int) -> None:
        """Write the minutes (since 1970) before this one."""
        over = [key for key in self._minutes if key[1] < before]
        waiting = iter(over)
        try:
            while batch := list(islice(waiting, BATCH)):
                connection.renew()
                in_transaction(partial(_upsert, [self._row(key) for key in batch]))
                for key in batch:
                    del self._minutes[key]
                ROWS.labels("kept").inc(len(batch))
        except (UserdbAway, DatabaseError) as error:
            log.warning("usage waits for userdb", extra={"error": str(error), "rows": len(self._minutes)})
            self._give_up()

    def _give_up(self) -> None:
        """Let go of the oldest minutes, those that find no room."""
        for key in sorted(self._minutes, key=lambda key: key[1])[: max(0, len(self._minutes) - self._room)]:
            del self._minutes[key]
            ROWS.labels("lost").inc()

    def _row(self, key: _Key) -> tuple[object, ...]:
        count, cores, memory = self._minutes[key]
        tenant, minute, namespace, pod, container = key
        moment = datetime.fromtimestamp(minute * 60, UTC)
        return (tenant, moment, namespace, pod, container, float(cores / count), memory // count)


def _upsert(rows: Sequence[tuple[object, ...]]) -> None:
    userdb = connections[alias()]
    sql = rowsets.upsert(userdb.vendor, "userdb_containerusage", _COLUMNS, _VALUES)
    with userdb.cursor() as cursor:
        for pack in rowsets.packs(rows):
            cursor.execute(sql, [pack])
