"""The background clock of `alert-bridge web`: every 5 s it reads userdb's facts and keeps them for the scrapes.

Recent events, thresholds, tenants, the outbox. Never on the scrape path: a slow database makes no scrape slow. After three
failed ticks the series are dropped and `mission_policies_loaded` is 0, so that the rules hold their last word.
"""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from django.db.models import Count, F, Min, Q
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.closed_sets import EVENT_TYPES, FAILURE_TYPES, LEVELS, OTHER, UNKNOWN
from userdb import clock, health
from userdb.models import AlertPolicy, Channel, MonitorEvent, Notification, Tenant
from userdb.router import alias

log = logging.getLogger(__name__)

PERIOD = 5.0
LATE = timedelta(minutes=5)
"""An event that is older when it is received is counted as late: the windows 1m and 5m, which the rules read, leave it out."""
WINDOWS = {"1m": timedelta(minutes=1), "5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
_SETTLED = timedelta(seconds=10)
"""How long a row may take from its received_at to its commit before its lateness is counted."""
_FAILURES_TOLERATED = 2

_Event = tuple[str, str, str, str, str]  # tenant, event_type, failure_type, level, window


@dataclass(frozen=True)
class Facts:
    """What one tick read."""

    events: dict[_Event, int]
    thresholds: dict[tuple[str, str], float]
    tenants: list[str]
    outbox: dict[str, tuple[int, float, int]]
    """By channel: waiting, seconds since the oldest of them was made, dead."""


@dataclass(eq=False)
class Tick(Collector):
    """Reads the facts in `step`; `collect` yields what the last good one read."""

    facts: Facts | None = None
    failures: int = 0
    late: dict[str, int] = field(default_factory=dict)
    """By tenant, since this process began."""
    seconds: float = 0.0
    last_good: float = field(default_factory=time.monotonic)
    _late_until: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Tick every 5 s until `stop` is set."""
        while not stop.is_set():
            began = time.monotonic()
            self.step()
            self.seconds = time.monotonic() - began
            stop.wait(max(0.1, PERIOD - self.seconds))
        connections[alias()].close()

    def step(self) -> None:
        """Read once; a failure is counted, and the third in a row drops what was read before."""
        try:
            close_old_connections()
            self.facts = read()
            self._count_late(self.facts.tenants)
        except (DatabaseError, InterfaceError) as error:
            log.error("userdb can't be read", extra={"error": str(error), "failures": self.failures + 1})
            health.UP.set(0)
            self._failed()
        except Exception:
            # a clock that died would leave its last word standing for ever, as if it were true
            log.exception("tick failed", extra={"failures": self.failures + 1})
            self._failed()
        else:
            self.failures, self.last_good = 0, time.monotonic()
            health.UP.set(1)

    def _failed(self) -> None:
        self.failures += 1
        connections[alias()].close()
        if self.failures > _FAILURES_TOLERATED:
            self.facts = None

    def trouble(self) -> str | None:
        """Readiness: None, or that userdb's facts are old."""
        age = time.monotonic() - self.last_good
        return f"userdb was last read {age:.0f} s ago" if age > 3 * PERIOD + 10 else None

    def _count_late(self, tenants: list[str]) -> None:
        """Add each tenant's late events received since the last time; each is counted once, by each process."""
        until = clock.now() - _SETTLED
        rows = MonitorEvent.objects.filter(received_at__gte=self._late_until or until, received_at__lt=until)
        late = rows.filter(occurred_at__lt=F("received_at") - LATE).order_by().values("tenant").annotate(n=Count("pk"))
        counts = self.late | {tenant: self.late.get(tenant, 0) for tenant in (*tenants, UNKNOWN)}
        for row in late:
            counts[row["tenant"] if row["tenant"] in tenants else UNKNOWN] += row["n"]
        self.late, self._late_until = counts, until

    def collect(self) -> Iterator[Metric]:
        facts = self.facts
        yield GaugeMetricFamily(
            "mission_policies_loaded", "1: thresholds and events were read from userdb.", int(facts is not None)
        )
        yield GaugeMetricFamily(
            "mission_tick_duration_seconds", "How long the last reading of userdb took.", self.seconds
        )
        late = CounterMetricFamily(
            "mission_late_events_total",
            "Events received more than 5 minutes after they happened: the windows 1m and 5m leave them out.",
            labels=["tenant"],
        )
        for tenant, count in self.late.items():
            late.add_metric([tenant], count)
        yield late
        if facts is not None:
            yield from families(facts)


def families(facts: Facts) -> Iterator[Metric]:
    """Yield the metric families of what was read."""
    labels = ["tenant", "event_type", "failure_type", "level", "window"]
    events = GaugeMetricFamily(
        "mission_recent_events", "Rows of MonitorEvent received within the window, by userdb's clock.", labels=labels
    )
    for event, count in facts.events.items():
        events.add_metric(event, count)
    thresholds = GaugeMetricFamily(
        "mission_policy_threshold", "A policy's threshold; tenant * is for all.", labels=["policy", "tenant"]
    )
    for key, threshold in facts.thresholds.items():
        thresholds.add_metric(key, threshold)
    tenants = GaugeMetricFamily("mission_tenant_info", "The tenants that may report.", labels=["tenant"])
    for tenant in facts.tenants:
        tenants.add_metric([tenant], 1)
    pending = GaugeMetricFamily("mission_outbox_pending", "Notifications that wait to be sent.", labels=["channel"])
    oldest = GaugeMetricFamily("mission_outbox_oldest_seconds", "Age of the oldest that waits.", labels=["channel"])
    dead = GaugeMetricFamily("mission_outbox_dead", "Notifications that wait for a person.", labels=["channel"])
    for channel, (waiting, age, lost) in facts.outbox.items():
        pending.add_metric([channel], waiting)
        oldest.add_metric([channel], age)
        dead.add_metric([channel], lost)
    yield from (events, thresholds, tenants, pending, oldest, dead)


def read() -> Facts:
    """Read everything, outside any transaction (IMMEDIATE would make each tick a writer on SQLite)."""
    now = clock.now()
    known = dict(Tenant.objects.values_list("name", "enabled"))
    policies = AlertPolicy.objects.values_list("policy", "tenant", "threshold")
    return Facts(
        events=_recent_events(now, frozenset(known)),
        thresholds={(policy, tenant): threshold for policy, tenant, threshold in policies},
        tenants=[name for name, enabled in known.items() if enabled],
        outbox=_outbox(now),
    )


def _recent_events(now: datetime, tenants: frozenset[str]) -> dict[_Event, int]:
    counts: dict[_Event, int] = {}
    longest = max(WINDOWS.values())
    in_window = {
        f"in_{name}": Count("pk", filter=Q(received_at__gte=now - length, occurred_at__gte=F("received_at") - length))
        for name, length in WINDOWS.items()
    }
    rows = MonitorEvent.objects.filter(received_at__gte=now - longest).order_by()
    for row in rows.values("tenant", "event_type", "failure_type", "level").annotate(**in_window):
        labels = (
            row["tenant"] if row["tenant"] in tenants else UNKNOWN,
            row["event_type"] if row["event_type"] in EVENT_TYPES else "custom",
            row["failure_type"] if row["failure_type"] in (*FAILURE_TYPES, "") else OTHER,
            row["level"] if row["level"] in LEVELS else "error",
        )
        for name in WINDOWS:
            if row[f"in_{name}"]:
                counts[*labels, name] = counts.get((*labels, name), 0) + row[f"in_{name}"]
    return counts


def _outbox(now: datetime) -> dict[str, tuple[int, float, int]]:
    found = dict.fromkeys(Channel.objects.values_list("name", flat=True), (0, 0.0, 0))
    # what is late waits for its channel's next digest
    waiting = Q(state__in=Notification.WAITING) | Q(state=Notification.State.LATE, digest=None)
    rows = Notification.objects.filter(waiting | Q(state=Notification.State.DEAD)).order_by().values("channel__name")
    counted = rows.annotate(
        waiting=Count("pk", filter=waiting),
        # what waits for the end of quiet hours is not old before they end, nor what a person sent again
        oldest=Min("first_due_at", filter=waiting),
        dead=Count("pk", filter=Q(state=Notification.State.DEAD)),
    )
    for row in counted:
        age = max(0.0, (now - row["oldest"]).total_seconds()) if row["oldest"] else 0.0
        found[row["channel__name"]] = (row["waiting"], age, row["dead"])
    return found
