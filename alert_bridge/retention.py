"""Deletes what has grown old, class by class, in small transactions with pauses.

Called by `cli.py`: once, or every hour beside reconciliation.

In: how long each class is kept (RETENTION_*). Out: rows deleted, counted and logged by class; with a dry run only counted.
What may go and how stands in `expiry.py`. Several at once are harmless.
"""

import logging
import sys
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from prometheus_client import Counter, Gauge

from alert_bridge import expiry
from runtime.flags import duration
from runtime.settings import SettingsError, env_text
from userdb import clock
from userdb.router import alias
from userdb.transactions import UserdbAway

log = logging.getLogger(__name__)

NAMES = (
    "webhooks", "attempts", "alerts", "digests", "identities", "events", "minutes", "audit", "logins", "sessions",
)  # fmt: skip
EVERY = timedelta(hours=1)
SHORTEST = timedelta(days=1)
"""What is younger is never deleted: an incident is not over the day that it began."""
_AWAY = 60.0
"""Seconds to the next try while userdb is away."""
_TROUBLE = (DatabaseError, InterfaceError, UserdbAway)

DELETED = Counter(
    "mission_retention_deleted_rows_total", "Rows that were deleted because they had grown old, by class.", ["class"]
)
LAST_SUCCESS = Gauge("mission_retention_last_success_timestamp_seconds", "When everything old had last been deleted.")
for _name in NAMES:
    DELETED.labels(_name)


def age(variable: str, default: str) -> timedelta | None:
    """Return how long a class is kept, None for ever; raise SettingsError for what is no length of time, or below a day."""
    text = env_text(variable, default)
    if text == "never":
        return None
    try:
        found = duration(text)
    except ArgumentTypeError as error:
        raise SettingsError(f"{variable}: {error}, nor never") from None
    if found < SHORTEST:
        raise SettingsError(f"{variable}: {text} is less than a day")
    return found


def settings() -> dict[str, timedelta | None]:
    """Return how long each class is kept; raise SettingsError."""
    return {
        "webhooks": age("RETENTION_WEBHOOKS", "30d"),
        "alerts": age("RETENTION_ALERTS", "365d"),
        "attempts": age("RETENTION_ATTEMPTS", "90d"),
        "events": age("RETENTION_EVENTS", "90d"),
        "minutes": age("RETENTION_MINUTES", "30d"),
        "audit": age("RETENTION_AUDIT", "1095d"),
        "logins": age("RETENTION_LOGINS", "90d"),
    }


@dataclass
class Retention:
    """One process's deleting. `ages`: by class, as `settings` reads them."""

    ages: dict[str, timedelta | None]
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, stop: threading.Event) -> None:
        """Delete, every hour, until `stop` is set."""
        self.stop = stop
        while not stop.is_set():
            pause = EVERY.total_seconds()
            try:
                close_old_connections()
                self.once()
            except _TROUBLE as error:
                log.error("not all that is old was deleted", extra={"error": str(error)})
                connections[alias()].close()
                pause = _AWAY
            except Exception:
                # a defect of ours must not end the deleting for ever
                log.exception("retention failed")
                pause = _AWAY
            stop.wait(pause)
        connections[alias()].close()

    def once(self) -> dict[str, int]:
        """Delete all that is old now; return the rows by class. Returns early, in order, when told to stop.

        A class that userdb refuses to delete from holds up none of the others; its error is raised at the end.
        """
        now, deleted = clock.now(), dict.fromkeys(NAMES, 0)
        refused: DatabaseError | None = None
        for each in expiry.classes():
            before = self._before(each, now)
            if before is None:
                continue
            try:
                for rows in self._gently(each.delete(before)):
                    deleted[each.name] += rows
                    DELETED.labels(each.name).inc(rows)
                    if self.stop.is_set():
                        return deleted
            except DatabaseError as error:
                log.exception("retention: not deleted", extra={"class": each.name})
                refused = refused or error
        if refused is not None:
            raise refused
        LAST_SUCCESS.set_to_current_time()
        log.info("deleted what was old", extra={name: rows for name, rows in deleted.items() if rows})
        return deleted

    def _before(self, each: expiry.Class, now: datetime) -> datetime | None:
        kept = self.ages[each.age] if each.age else timedelta(0)
        return None if kept is None else now - kept

    def _gently(self, transactions: Iterable[int]) -> Iterable[int]:
        """Rest after each transaction for as long as it took, so that half of userdb's time is the others'."""
        began = time.monotonic()
        for rows in transactions:
            yield rows
            self.stop.wait(min(1.0, time.monotonic() - began))
            began = time.monotonic()

    def foretell(self) -> dict[str, int]:
        """Count what would be deleted now, by class, and delete nothing."""
        now, counted = clock.now(), dict.fromkeys(NAMES, 0)
        for each in expiry.classes():
            before = self._before(each, now)
            if before is not None:
                counted[each.name] += each.expired(before).count()
        return counted


def command(dry_run: bool) -> int:
    """Delete once, or only count, and say by class how many rows; return 0. SettingsError: userdb went away meanwhile."""
    worker = Retention(settings())
    try:
        rows = worker.foretell() if dry_run else worker.once()
    except _TROUBLE as error:
        raise SettingsError(f"{error}; run it again when userdb is back: what was deleted stays deleted") from error
    for name, count in rows.items():
        sys.stdout.write(f"{name} {count}\n")
    return 0
