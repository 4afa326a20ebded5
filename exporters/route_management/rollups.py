"""Minutes of requests: counts and seconds by tenant and outcome, as rows of RequestRollup. Called by `request_history.py`.

What is written is the minute's value so far, never a difference, under the name of this process: a write whose reply was lost
is written again and doubles nothing, and no replica's row is touched.
"""

import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import time

from django.db import connections

from userdb import rowsets
from userdb.router import alias
from userdb.rowsets import INTEGER, KEY, REAL, TIME

ROOM = 20_000
"""Rows that may wait for userdb, about 5 MB: an hour's of 50 tenants with 6 outcomes."""

_COLUMNS = {"tenant": KEY, "minute": TIME, "outcome": KEY, "instance": KEY, "requests": INTEGER, "seconds": REAL}
_VALUES = ("requests", "seconds")
_Key = tuple[int, str, str, str]
Row = tuple[_Key, int, float]
"""(minute, tenant, outcome, instance), requests, seconds."""


def instance_name() -> str:
    """Return a name that no other process has had: the host's, and 48 random bits."""
    return f"{socket.gethostname()[:63]}-{secrets.token_hex(6)}"


class Rollups:
    """Sums up requests by minute; safe for threads."""

    def __init__(self, room: int = ROOM, clock: Callable[[], float] = time) -> None:
        self._room, self._clock = room, clock
        self._lock = threading.RLock()  # see request_history.py
        self._instance = instance_name()
        self._minute = 0
        self._sums: dict[_Key, list[float]] = {}
        self._changed: set[_Key] = set()

    def add(self, tenant: str, outcome: str, seconds: float) -> int:
        """Count a request that ended now; return how many requests found no room."""
        with self._lock:
            minute = int(self._clock() // 60)
            if minute != self._minute:
                if minute < self._minute:
                    # the clock was set back: rows that are final must not be overwritten by smaller ones
                    self._instance = instance_name()
                self._minute = minute
            key = (minute, tenant, outcome, self._instance)
            sums = self._sums.get(key)
            lost = 0
            if sums is None:
                if len(self._sums) >= self._room:
                    lost = self._give_up(next(iter(self._sums)))
                sums = self._sums[key] = [0, 0.0]
            sums[0] += 1
            sums[1] += seconds
            self._changed.add(key)
            return lost

    def __len__(self) -> int:
        return len(self._changed)

    def changed(self) -> list[Row]:
        """Return what is to be written, at its value of now."""
        with self._lock:
            return [(key, int(self._sums[key][0]), self._sums[key][1]) for key in sorted(self._changed)]

    def written(self, rows: Sequence[Row]) -> None:
        """Take note that userdb has these; forget the minutes that are over."""
        with self._lock:
            for key, requests, _ in rows:
                if key in self._sums and self._sums[key][0] == requests:
                    self._changed.discard(key)
            over = [key for key in self._sums if key not in self._changed and key[0] != self._minute]
            for key in over:
                del self._sums[key]

    def forget(self, rows: Sequence[Row]) -> int:
        """Give these up; return how many requests they count."""
        with self._lock:
            return sum(self._give_up(key) for key, _, _ in rows if key in self._sums)

    def _give_up(self, key: _Key) -> int:
        self._changed.discard(key)
        return int(self._sums.pop(key)[0])


def upsert(rows: Sequence[Row]) -> None:
    """Write the rows at their value. One statement, in the caller's transaction; Django's database errors are its."""
    connection = connections[alias()]
    sql = rowsets.upsert(connection.vendor, "userdb_requestrollup", _COLUMNS, _VALUES)
    values = (
        (tenant, datetime.fromtimestamp(minute * 60, UTC), outcome, instance, requests, seconds)
        for (minute, tenant, outcome, instance), requests, seconds in rows
    )
    with connection.cursor() as cursor:
        for pack in rowsets.packs(values):
            cursor.execute(sql, [pack])
