"""What an admin sees first: what fires, what waits, who fails, and the last word of each part of the chain.

Called by the admin's front page. A dozen statements, each along an index; none grows with the history.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from alert_bridge.queries import channels
from alert_bridge.queries.channels import Counts, Trouble
from userdb import clock
from userdb.models import (
    AlertIdentity,
    AlertmanagerPeer,
    Channel,
    DeliveryAttempt,
    Notification,
    WebhookEvent,
)

TENANTS = 30
SEVERITIES = ("critical", "error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Firing:
    """What fires now of one tenant, by severity."""

    tenant: str
    by_severity: dict[str, int]
    """By SEVERITIES and `other`."""
    total: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The answers of one moment."""

    now: datetime
    firing: list[Firing]
    """The tenants with the worst first, at most 30."""
    firing_total: int
    suppressed: int
    tenants_left_out: int
    channels: list[Any]
    troubles: dict[int, Trouble]
    counts: dict[int, Counts]
    peers: list[AlertmanagerPeer]
    last_webhook: datetime | None
    last_attempt: datetime | None
    watchdog_heard: datetime | None
    late_owed: datetime | None
    """Since when the oldest message that is due now waits; None: nothing due waits."""

    @property
    def waiting(self) -> int:
        return sum(held.waiting for held in self.counts.values())

    @property
    def dead(self) -> int:
        return sum(held.dead for held in self.counts.values())


def read() -> Overview:
    """Read it all, outside any transaction."""
    now = clock.now()
    firing, total, suppressed = _firing()
    shown = list(channels.with_last_delivery(Channel.objects.defer("secret_token", "config").order_by("name")))
    waiting = Notification.objects.filter(
        state__in=(Notification.State.OWED, Notification.State.SENDING), due_at__lte=now
    )
    return Overview(
        now=now,
        firing=firing[:TENANTS],
        firing_total=total,
        suppressed=suppressed,
        tenants_left_out=max(0, len(firing) - TENANTS),
        channels=shown,
        troubles=channels.troubles(shown),
        counts=channels.counts(),
        peers=list(AlertmanagerPeer.objects.all()[:20]),
        last_webhook=WebhookEvent.objects.order_by("-pk").values_list("received_at", flat=True).first(),
        last_attempt=DeliveryAttempt.objects.order_by("-pk").values_list("started_at", flat=True).first(),
        watchdog_heard=AlertIdentity.objects.filter(alertname="Watchdog")
        .order_by("-heard_at")
        .values_list("heard_at", flat=True)
        .first(),
        late_owed=waiting.order_by("due_at").values_list("due_at", flat=True).first(),
    )


def _firing() -> tuple[list[Firing], int, int]:
    """Return what fires by tenant, the worst first; how many in all; how many of them are silenced or inhibited.

    Watchdog always fires: it is no trouble and is left out.
    """
    rows = AlertIdentity.objects.filter(state=AlertIdentity.State.FIRING).exclude(alertname="Watchdog").order_by()
    found: dict[str, dict[str, int]] = {}
    suppressed = 0
    for row in rows.values("tenant", "severity", "suppression").annotate(count=Count("pk")):
        severity = row["severity"] if row["severity"] in SEVERITIES else "other"
        of_tenant = found.setdefault(row["tenant"], dict.fromkeys((*SEVERITIES, "other"), 0))
        of_tenant[severity] += row["count"]
        if row["suppression"]:
            suppressed += row["count"]
    firing = [Firing(tenant, counts, sum(counts.values())) for tenant, counts in found.items()]
    firing.sort(key=lambda one: ([-one.by_severity[s] for s in SEVERITIES], -one.total, one.tenant))
    return firing, sum(one.total for one in firing), suppressed
