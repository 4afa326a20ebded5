"""How many messages a channel may be sent now: so many a minute, counted in userdb's attempts, whichever relay made them.

The limit is the channel's own (`per_minute`) or its kind's. Every try counts, failed ones and digests too: the destination
counts them as well.
"""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from alert_bridge.channels import KINDS
from userdb.models import Channel, DeliveryAttempt, Notification

_MINUTE = timedelta(seconds=62)
"""A little more than it is: of two requests the later one may be the quicker on its way."""
_SKEW = timedelta(seconds=5)


def limit(channel: Channel) -> int | None:
    """Return how many messages a minute the channel may be sent; None: as many as there are."""
    return channel.per_minute or KINDS[channel.kind].per_minute


def left(channel: int, most: int, now: datetime) -> int:
    """Return how many of `most` messages may still be sent; call it with the channel's row locked, so that it stays true."""
    # rows are numbered as they are written: the walk from the newest stops at the first that is old
    old = DeliveryAttempt.objects.filter(started_at__lt=now - _MINUTE - _SKEW).order_by("-pk")
    floor = old.values_list("pk", flat=True).first() or 0
    recent = DeliveryAttempt.objects.filter(pk__gt=floor, started_at__gte=now - _MINUTE, notification__channel=channel)
    under_way = DeliveryAttempt.objects.filter(notification=OuterRef("pk"), outcome=DeliveryAttempt.Outcome.STARTED)
    claimed = Notification.objects.filter(
        ~Exists(under_way), channel=channel, state=Notification.State.SENDING, claimed_until__gte=now
    )
    return max(0, most - recent.count() - claimed.count())
