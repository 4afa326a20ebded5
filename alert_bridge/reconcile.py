"""Finds out what webhooks never say: `alert-bridge reconcile` asks every Alertmanager for its list, round after round.

In: the open alerts of userdb, read before the question, and what every Alertmanager lists. Out: alerts that ended unheard are
closed and their ends owed, what is silenced or inhibited is marked, what fires and was never sent is stored
(`comparison.py` -> `corrections.py`); one row for each Alertmanager says what it answered. `step` is one round; several
processes may run at once.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from prometheus_client import Counter, Gauge

from alert_bridge import alertmanagers, corrections
from alert_bridge.alertmanagers import View
from alert_bridge.comparison import Comparison, Known, Limits, Plan
from alert_bridge.confirmation import minimum_uptime
from runtime.settings import SettingsError, env_list, env_number
from userdb import clock, health
from userdb.models import AlertIdentity, AlertmanagerPeer, WebhookEvent
from userdb.router import alias
from userdb.transactions import UserdbAway, in_transaction
from userdb.unsent import unsent_alerts

log = logging.getLogger(__name__)

DEADLINE = 10.0
"""Seconds in which an Alertmanager answers or does not."""
_STALE = 20.0
"""Seconds after which an answer decides nothing any more: this process was paused, or the host asleep."""
_TROUBLE = (DatabaseError, InterfaceError, UserdbAway)
_WEBHOOKS = 200
"""The last ones, whose receivers are taken for ours."""
DEFAULT_RECEIVER = "alert-bridge"

RESULTS = ("certain", "in_doubt", "failed")
CHANGES = ("closed", "superseded", "marked", "found")
ROUNDS = Counter(
    "mission_reconcile_rounds_total", "Rounds, by whether every Alertmanager could be believed.", ["result"]
)
WRITTEN = Counter("mission_reconcile_alerts_total", "Alerts that reconciliation changed, by how.", ["change"])
LAST_SUCCESS = Gauge(
    "mission_reconcile_last_success_timestamp_seconds",
    "When a round last ended in which every Alertmanager was believed.",
)
SECONDS = Gauge("mission_reconcile_duration_seconds", "How long the last round took.")
UNSENT = Gauge("mission_reconcile_unsent_alerts", "Alerts that an Alertmanager lists for us and never sent.")
UP = Gauge("mission_alertmanager_up", "1: it answered the last round.", ["alertmanager"])
for _result in RESULTS:
    ROUNDS.labels(_result)
for _change in CHANGES:
    WRITTEN.labels(_change)


def interval() -> float:
    """Return the seconds from one round to the next (RECONCILE_INTERVAL)."""
    return env_number("RECONCILE_INTERVAL", 30, 1, 3600)


def limits() -> Limits:
    """Return how long something has to last before it is believed (RECONCILE_GRACE, RECONCILE_UNSENT_AFTER: seconds)."""
    return Limits(
        minimum_uptime(),
        timedelta(seconds=env_number("RECONCILE_GRACE", 120, 0, 86_400)),
        timedelta(seconds=env_number("RECONCILE_UNSENT_AFTER", 300, 0, 86_400)),
    )


@dataclass
class Reconcile:
    """One reconciler."""

    stop: threading.Event = field(default_factory=threading.Event)
    doubt: str | None = "no Alertmanager was asked yet"
    """Why the last round was not certain."""
    errors: dict[str, str] = field(default_factory=dict)
    last_round: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._interval, self._limits = interval(), limits()
        self._comparison = Comparison(self._limits)
        self._receivers: set[str] = set()
        self._counted: set[str] = set()

    def run(self) -> None:
        """Reconcile until `stop` is set."""
        while not self.stop.is_set():
            began = time.monotonic()
            close_old_connections()
            self.step()
            self.stop.wait(max(0.1, self._interval - (time.monotonic() - began)))
        connections[alias()].close()
        log.info("stopped")

    def step(self) -> None:
        """Do one round; what keeps it from being done is said, counted, and tried again with the next."""
        began = time.monotonic()
        try:
            certain = self._round()
        except _TROUBLE as error:
            log.error("userdb away", extra={"error": str(error)})
            health.UP.set(0)
            connections[alias()].close()
            ROUNDS.labels("failed").inc()
        except SettingsError as error:  # a file that was right at the start
            self.doubt, self.errors = str(error), {"": str(error)}
            log.error("the Alertmanagers can't be asked", extra={"error": str(error)})
            ROUNDS.labels("failed").inc()
        except Exception:
            log.exception("round failed")
            ROUNDS.labels("failed").inc()
        else:
            self.last_round = time.monotonic()
            health.UP.set(1)
            ROUNDS.labels("certain" if certain else "in_doubt").inc()
            if certain:
                LAST_SUCCESS.set_to_current_time()
        SECONDS.set(time.monotonic() - began)

    def _round(self) -> bool:
        known = open_alerts()
        receivers = self._ours()
        now, asked_at = clock.now(), time.monotonic()
        view = alertmanagers.ask_all(DEADLINE)
        self._hear(view)
        in_transaction(lambda: _keep(view, now))
        plan = self._comparison.compare(known, view, receivers, asked_at, now)
        if time.monotonic() - asked_at < _STALE:
            _write(plan)
        UNSENT.set(unsent_alerts().count())
        return self.doubt is None

    def _ours(self) -> frozenset[str]:
        """Return the names of the receivers whose webhooks come here (ALERTMANAGER_RECEIVER, else those that were seen)."""
        named = env_list("ALERTMANAGER_RECEIVER")
        if named:
            return frozenset(named)
        last = WebhookEvent.objects.order_by("-pk").values_list("receiver", flat=True)[:_WEBHOOKS]
        self._receivers |= set(last) - {""}
        return frozenset(self._receivers or {DEFAULT_RECEIVER})

    def _hear(self, view: View) -> None:
        doubt = view.doubt(self._limits.minimum_uptime)
        if doubt != self.doubt:
            if doubt is None:
                log.info("every Alertmanager answers")
            else:
                log.warning("nothing is closed by reconciliation", extra={"why": doubt})
        self.doubt, self.errors = doubt, view.errors
        up = {answer.peer.url: 1 for answer in view.answers} | dict.fromkeys(view.errors, 0)
        for url in self._counted - up.keys():
            UP.remove(url)
        for url, value in up.items():
            UP.labels(url).set(value)
        self._counted = set(up)

    def rounds(self) -> str | None:
        """Readiness: None, or that no round has succeeded for a while."""
        age = time.monotonic() - self.last_round
        return f"no round for {age:.0f} s" if age > 3 * self._interval + DEADLINE + 10 else None

    def peers(self) -> str | None:
        """Readiness: None, or which Alertmanager does not answer, what that stops, and how to go on without it."""
        if not self.errors:
            return None
        why = "; ".join(self.errors[url] for url in sorted(self.errors))
        return (
            f"{why}. Reconciliation closes nothing before every Alertmanager answers: take one that is gone for good out \
of ALERTMANAGER_URL"
        )


def open_alerts() -> list[Known]:
    """Return every open alert that an Alertmanager should know."""
    rows = AlertIdentity.objects.filter(state=AlertIdentity.State.FIRING, origin=AlertIdentity.Origin.ALERTMANAGER)
    found = rows.values_list("fingerprint", "version", "last_start", "suppression", "suppressed_by").iterator(2000)
    return [
        Known(name, version, start, mark, tuple(by or ()))
        for name, version, start, mark, by in found
        if start is not None  # it never is, once something was applied
    ]


def _keep(view: View, asked_at: datetime) -> None:
    """Write one row for each configured Alertmanager; one that is configured no more has none."""
    for answer in view.answers:
        told = {
            "asked_at": asked_at, "answered_at": asked_at, "started_at": answer.started_at.astimezone(UTC),
            "firing": len(answer.alerts), "error": "",
        }  # fmt: skip
        AlertmanagerPeer.objects.update_or_create(url=answer.peer.url, defaults=told)
    for url, error in view.errors.items():
        AlertmanagerPeer.objects.update_or_create(url=url, defaults={"asked_at": asked_at, "error": error})
    configured = {answer.peer.url for answer in view.answers} | view.errors.keys()
    AlertmanagerPeer.objects.exclude(url__in=configured).delete()


def _write(plan: Plan) -> None:
    done = {
        "closed": corrections.close(plan.closed),
        "superseded": corrections.supersede(plan.superseded),
        "marked": corrections.mark(plan.marks),
        "found": corrections.store(plan.found),
    }
    for change, number in done.items():
        WRITTEN.labels(change).inc(number)
    if any(done.values()):
        log.info("reconciled", extra=done)
