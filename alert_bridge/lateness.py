"""What could not be told in time is late: it is not sent as if it were new, a digest tells it. Called by `claims.py`.

In: a channel's `late_after`. Out: its overdue notifications in the state `late`, in which they wait for the channel's next
digest (`digests.py`). Time counts from when a message could first be sent: quiet hours are left out, a resend begins anew.
"""

from datetime import datetime

from django.db.models import Q

from alert_bridge import due
from userdb.models import Channel, Notification

_ROWS = 100
"""The most rows that one transaction changes."""


def overdue(channel: Channel, now: datetime) -> Q:
    """What became due longer ago than the channel lets pass. A digest never is: it is written as things are."""
    if channel.late_after is None:
        return Q(pk__in=())
    return Q(first_due_at__lt=now - channel.late_after) & ~Q(kind=Notification.Kind.DIGEST)


def mark(channel: Channel, now: datetime) -> int:
    """Set what is overdue to late and return how many that were, at most 100 a call; inside a transaction.

    A try that a dead relay left under way is named `unknown`, as when it is tried again.
    """
    if channel.late_after is None:
        return 0
    rows = Notification.objects.filter(due.free(now), overdue(channel, now), channel=channel).order_by("pk")
    found = list(rows.select_for_update(skip_locked=True).only("pk", "state")[:_ROWS])
    if not found:
        return 0
    due.mark_unknown([row.pk for row in found if row.state == Notification.State.SENDING])
    late = Notification.objects.filter(pk__in=[row.pk for row in found])
    return late.update(state=Notification.State.LATE, reason="late", claim="", claimed_until=None)
