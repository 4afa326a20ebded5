"""The last word of each channel: when it last delivered, since when it fails and why, what waits and what is dead.

Called by the list of channels, the outbox page and the overview. Statements of a constant number, each along an index.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, DateTimeField, F, Min, OuterRef, Q, QuerySet, Subquery

from userdb.models import Channel, DeliveryAttempt, Notification

_State = Notification.State
_FAILED = (DeliveryAttempt.Outcome.TEMPORARY, DeliveryAttempt.Outcome.PERMANENT, DeliveryAttempt.Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a channel's outbox holds."""

    waiting: int = 0
    oldest: datetime | None = None
    """When the oldest that waits could first be sent."""
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A channel that fails: nothing was delivered since."""

    since: datetime
    reason: str
    status: str
    answer: str

    @property
    def said(self) -> str:
        """The last failure in words."""
        return said(self.reason, self.status, self.answer)


def said(reason: str, status: str, answer: str) -> str:
    """Return a failure in words, none of them twice: most answers of a connection that failed begin with the reason."""
    reason, told = reason.replace("_", " "), " ".join(filter(None, (status, answer)))
    return told if reason in told else f"{reason}: {told}" if told else reason


def with_last_delivery(rows: QuerySet[Channel]) -> QuerySet[Any]:
    """Return the channels with `last_delivered`, and one notification each that waits after a failed try or is dead."""
    of_channel = Notification.objects.filter(channel=OuterRef("pk"))
    # the newest by the index (state, channel, due_at): sorting a million rows by their number would take a second
    delivered = of_channel.filter(state=_State.DELIVERED).order_by("-due_at").values("delivered_at")[:1]
    tried = of_channel.filter(attempts__gt=F("attempts_before"))
    owed = tried.filter(state=_State.OWED).order_by("pk").values("pk")[:1]
    dead = tried.filter(state=_State.DEAD).order_by("-due_at").values("pk")[:1]
    return rows.annotate(
        last_delivered=Subquery(delivered, output_field=DateTimeField()),
        failing_owed=Subquery(owed),
        failing_dead=Subquery(dead),
    )


def troubles(channels: list[Any]) -> dict[int, Trouble]:
    """Return the trouble of those channels (from `with_last_delivery`) whose newest try failed after their last delivery."""
    asked = {key: c for c in channels if c.enabled for key in (c.failing_owed, c.failing_dead) if key is not None}
    found: dict[int, Trouble] = {}
    tries = DeliveryAttempt.objects.filter(notification__in=asked, outcome__in=_FAILED).order_by("started_at", "pk")
    for attempt in tries:
        channel = asked[attempt.notification_id]
        if channel.last_delivered is not None and attempt.started_at <= channel.last_delivered:
            continue
        before = found.get(channel.pk)
        since = before.since if before else attempt.started_at
        found[channel.pk] = Trouble(since, attempt.reason or "unknown", attempt.status, attempt.answer)
    return found


def counts() -> dict[int, Counts]:
    """Return what waits and what is dead, by channel; channels without either are not named. One statement."""
    waiting, dead = Q(state__in=Notification.WAITING), Q(state=_State.DEAD)
    rows = Notification.objects.filter(waiting | dead).order_by().values("channel")
    counted = rows.annotate(
        waiting=Count("pk", filter=waiting), oldest=Min("first_due_at", filter=waiting), dead=Count("pk", filter=dead)
    )
    return {row["channel"]: Counts(row["waiting"], row["oldest"], row["dead"]) for row in counted}
