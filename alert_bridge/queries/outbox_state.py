"""What waits in the outbox and what is dead there, by channel and reason. Called by the outbox page and by resending."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Min, Q

from userdb import clock
from userdb.models import Channel, Notification

_State = Notification.State


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages of one channel that wait for the same reason."""

    channel: Channel
    why: str
    count: int
    oldest: datetime | None
    next_try: datetime | None


@dataclass(frozen=True, slots=True)
class Dead:
    """Dead letters of one channel with the same reason."""

    channel: Channel
    reason: str
    count: int
    oldest: datetime | None
    newest: datetime | None


def waiting() -> list[Waiting]:
    """Return what waits, by channel and reason, the oldest first. Two statements and the time."""
    now = clock.now()
    rows = Notification.objects.filter(state__in=Notification.WAITING).order_by()
    tried = Q(attempts__gt=F("attempts_before"))
    later = Q(due_at__gt=now)
    kinds: dict[str, Q] = {
        "every Alertmanager is asked before it is told": Q(state=_State.UNCONFIRMED),
        "it is being sent": Q(state=_State.SENDING),
        "tried again later, after a failed try": Q(state=_State.OWED) & tried & later,
        "tried again now, after a failed try": Q(state=_State.OWED) & tried & ~later,
        "not before the end of quiet hours": Q(state=_State.OWED) & ~tried & later,
        "the relay takes it next": Q(state=_State.OWED) & ~tried & ~later,
    }
    wanted: dict[str, Any] = {}
    for place, condition in enumerate(kinds.values()):
        wanted |= {
            f"count_{place}": Count("pk", filter=condition),
            f"oldest_{place}": Min("first_due_at", filter=condition),
            f"next_{place}": Min("due_at", filter=condition),
        }
    channels = Channel.objects.defer("secret_token", "config").in_bulk()
    found = [
        Waiting(channels[row["channel"]], why, row[f"count_{place}"], row[f"oldest_{place}"], row[f"next_{place}"])
        for row in rows.values("channel").annotate(**wanted)
        for place, why in enumerate(kinds)
        if row[f"count_{place}"] and row["channel"] in channels
    ]
    return sorted(found, key=lambda one: one.oldest or now)


def dead() -> list[Dead]:
    """Return the dead letters by channel and reason, most first. Two statements."""
    rows = Notification.objects.filter(state=_State.DEAD).order_by().values("channel", "reason")
    counted = rows.annotate(count=Count("pk"), oldest=Min("created_at"), newest=Max("created_at"))
    channels = Channel.objects.defer("secret_token", "config").in_bulk()
    found = [
        Dead(channels[row["channel"]], row["reason"], row["count"], row["oldest"], row["newest"])
        for row in counted
        if row["channel"] in channels
    ]
    return sorted(found, key=lambda one: -one.count)
