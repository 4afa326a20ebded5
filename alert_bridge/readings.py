"""What the bridge's own watch knows at one moment: read from userdb, and from this process where it alone can know.

Called by `selfwatch.py` every few seconds, judged by `conditions.py`. Outside any transaction but the probe's own. Each
query is bounded: it reads what waits or has failed, never what was delivered long ago.
"""

import os
import socket
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Min, Q

from alert_bridge.intake import WATCHDOG
from userdb import clock
from userdb.models import AlertIdentity, AlertmanagerPeer, Channel, DeliveryAttempt, Notification
from userdb.transactions import in_transaction
from userdb.unsent import unsent_alerts

FAILING = timedelta(minutes=10)
"""How long nothing may have reached a channel before it counts as dead."""
_RECENT = timedelta(hours=2)
"""A message that died longer ago says nothing about the channel of today: *NotificationsDead* goes on saying it."""
_State = Notification.State


@dataclass(frozen=True, slots=True)
class PeerReading:
    """What reconciliation last heard from one Alertmanager."""

    url: str
    asked_at: datetime | None
    answered_at: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class ChannelReading:
    """How one enabled channel fares."""

    name: str
    failing_since: datetime | None = None
    """When the oldest message that was tried in vain, and still waits, could first be sent."""
    untried_since: datetime | None = None
    """When the oldest message that is due and was never tried could be sent."""
    dead: int = 0
    """Messages given up in the last hours."""
    reached: bool = False
    """Something was delivered in the last minutes."""


@dataclass(frozen=True, slots=True)
class Readings:
    """All of it, by userdb's clock."""

    now: datetime
    watching_since: datetime
    """Since when this process has been able to see."""
    watchdog_heard: datetime | None = None
    peers: tuple[PeerReading, ...] = ()
    channels: tuple[ChannelReading, ...] = ()
    last_try: datetime | None = None
    """When any relay last began to send anything."""
    unsent: int = 0
    """Firing alerts that an Alertmanager lists for us and never sent."""
    probe_seconds: float = 0.0
    """How long a small commit took."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Webhooks that this process refused in the last minutes, by why."""

    def age(self, moment: datetime | None) -> timedelta:
        """Return how long ago that was; nothing is older than what this process has seen itself."""
        return self.now - max(moment or self.watching_since, self.watching_since)


def read(watching_since: datetime | None, refusals: dict[str, int]) -> Readings:
    """Read everything; raises DatabaseError, InterfaceError or UserdbAway when userdb does not say it."""
    seconds = probe()
    now = clock.now()
    heard = AlertIdentity.objects.filter(alertname=WATCHDOG, origin=AlertIdentity.Origin.ALERTMANAGER)
    last = DeliveryAttempt.objects.order_by("-pk").values_list("started_at", flat=True).first()
    return Readings(
        now,
        watching_since or now,
        heard.aggregate(at=Max("heard_at"))["at"],
        tuple(
            PeerReading(*row) for row in AlertmanagerPeer.objects.values_list("url", "asked_at", "answered_at", "error")
        ),
        tuple(_channels(now)),
        last,
        unsent_alerts().count(),
        seconds,
        refusals,
    )


def probe() -> float:
    """Return how many seconds the smallest write takes until it is committed: a row that the same transaction takes back."""
    mark = f"probe:{socket.gethostname()}:{os.getpid()}:{time.monotonic_ns()}"[:255]

    def write() -> None:
        AlertmanagerPeer.objects.create(url=mark).delete()

    began = time.monotonic()
    in_transaction(write)
    return time.monotonic() - began


def _channels(now: datetime) -> list[ChannelReading]:
    enabled = dict(Channel.objects.filter(enabled=True).order_by("pk").values_list("pk", "name"))
    tried, due = Q(attempts__gt=F("attempts_before")), Q(due_at__lte=now)
    waiting = Notification.objects.filter(state__in=(_State.OWED, _State.SENDING), channel__in=enabled).order_by()
    rows = waiting.values("channel").annotate(
        failing=Min("first_due_at", filter=tried), untried=Min("due_at", filter=due & ~tried)
    )
    waits = {row["channel"]: (row["failing"], row["untried"]) for row in rows}
    lost = Notification.objects.filter(state=_State.DEAD, channel__in=enabled, first_due_at__gte=now - _RECENT)
    dead = dict(lost.order_by().values("channel").annotate(n=Count("pk")).values_list("channel", "n"))
    found = []
    for pk, name in enabled.items():
        failing, untried = waits.get(pk, (None, None))
        # asked only of those in trouble, and found by (state, channel, due_at)
        reached = bool(failing or dead.get(pk)) and _reached(pk, now)
        found.append(ChannelReading(name, failing, untried, dead.get(pk, 0), reached))
    return found


def _reached(channel: int, now: datetime) -> bool:
    rows = Notification.objects.filter(state=_State.DELIVERED, channel=channel, due_at__gte=now - 2 * FAILING)
    return rows.filter(delivered_at__gte=now - FAILING).exists()
