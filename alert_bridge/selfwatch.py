"""The bridge's own clock: says what is wrong with itself and with the chain, through the same outbox as any other alert.

A loop of its own in `alert-bridge reconcile`, and in each `alert-bridge web`, which adds what only it knows. Every process
watches all that userdb tells: whichever is left says it, and several open one episode (`own_alerts.py`).
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from prometheus_client import Gauge

from alert_bridge import conditions, own_alerts, readings
from alert_bridge.conditions import Condition
from alert_bridge.readings import Readings
from runtime.settings import env_number
from userdb import health
from userdb.router import alias
from userdb.transactions import UserdbAway

log = logging.getLogger(__name__)

FOUND = Gauge("mission_selfwatch_findings", "What the bridge's own watch says is wrong, by alert.", ["alertname"])
LAST_ROUND = Gauge(
    "mission_selfwatch_last_round_timestamp_seconds", "When the bridge's own watch last saw all it looks at."
)
_TROUBLE = (DatabaseError, InterfaceError, UserdbAway)


def interval() -> float:
    """Return the seconds between two rounds (SELFWATCH_INTERVAL)."""
    return env_number("SELFWATCH_INTERVAL", 15.0, 0.1, 60.0)


def clearance() -> timedelta:
    """Return how long a trouble has to be gone before its end is told (SELFWATCH_CLEAR, seconds)."""
    return timedelta(seconds=env_number("SELFWATCH_CLEAR", 60.0, 0.0, 3600.0))


def require_settings() -> None:
    """Raise SettingsError when a setting of the watch can't be used."""
    interval()
    clearance()
    conditions.watchdog_timeout()
    conditions.slow_commit()


@dataclass
class SelfWatch:
    """One watcher. Several may run at once."""

    table: tuple[Condition, ...] = conditions.OF_THE_CHAIN
    refusals: Callable[[], dict[str, int]] = dict
    last_round: float = field(default_factory=time.monotonic)
    readings: Readings | None = None
    """What the last round read; None when it could not."""
    _since: datetime | None = None
    _pending: dict[str, float] = field(default_factory=dict)
    """By fingerprint: since when it is found, by the steady clock."""

    def __post_init__(self) -> None:
        for condition in self.table:
            FOUND.labels(condition.alertname).set(0)

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set."""
        while not stop.is_set():
            began = time.monotonic()
            close_old_connections()
            self.step()
            stop.wait(max(0.1, interval() - (time.monotonic() - began)))
        connections[alias()].close()

    def step(self) -> None:
        """Look once, say what holds, end what is gone. A userdb that is away is said in the log; what is pending stays so."""
        try:
            self._step()
        except _TROUBLE as error:
            log.error("self-watch: userdb away", extra={"error": str(error)})
            health.UP.set(0)
            self._blind()
        except Exception:
            # a watch that died would never say so
            log.exception("self-watch failed")
            self._blind()
        else:
            self.last_round = time.monotonic()
            LAST_ROUND.set_to_current_time()

    def _blind(self) -> None:
        # what was not heard while nobody could be heard is not missing
        self.readings, self._since = None, None
        connections[alias()].close()

    def _step(self) -> None:
        seen = self.readings = readings.read(self._since, self.refusals())
        self._since = seen.watching_since
        found = {f.fingerprint: (condition, f) for condition in self.table for f in condition.find(seen)}
        now = time.monotonic()
        self._pending = {fingerprint: self._pending.get(fingerprint, now) for fingerprint in found}
        said: dict[str, int] = dict.fromkeys((condition.alertname for condition in self.table), 0)
        for fingerprint, (condition, finding) in found.items():
            if now - self._pending[fingerprint] >= condition.holds_for.total_seconds():
                if own_alerts.say(finding):
                    log.warning("self-watch", extra={"alertname": finding.alertname, "summary": finding.summary})
                said[finding.alertname] += 1
        for alertname, count in said.items():
            FOUND.labels(alertname).set(count)
        self._end_what_is_gone(set(found))

    def _end_what_is_gone(self, found: set[str]) -> None:
        for fingerprint in own_alerts.still_open(frozenset(condition.alertname for condition in self.table)):
            if fingerprint not in found and own_alerts.end(fingerprint, clearance()):
                log.info("self-watch: trouble has ended", extra={"fingerprint": fingerprint})

    def trouble(self) -> str | None:
        """Readiness: None, or that the rounds have stopped."""
        age = time.monotonic() - self.last_round
        return f"no round of the self-watch for {age:.0f} s" if age > 3 * interval() + 30 else None
