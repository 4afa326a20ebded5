"""More than a channel takes in a minute: what the tests of digests share."""

import json
from datetime import timedelta
from typing import Any

from alert_bridge import claims
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import Receiver
from tests.alert_bridge.words import firing
from userdb import clock
from userdb.models import Channel, DeliveryAttempt, Notification


def told(server: Receiver) -> list[dict[str, Any]]:
    return [json.loads(got.body) for got in server.got]


def kinds(server: Receiver) -> list[str]:
    return [document["kind"] for document in told(server)]


def states(**which: Any) -> list[tuple[str, str, str]]:
    rows = Notification.objects.filter(**which).order_by("id")
    return list(rows.values_list("kind", "state", "reason"))


def digest() -> Notification:
    return Notification.objects.get(kind="digest")


def begun(channel: Channel) -> claims.Start:
    """Take what is due and begin it; of several, the last: the digest."""
    start = claims.start(claims.take(channel.pk)[-1], "tests")
    assert start is not None
    return start


def a_minute_later() -> None:
    """Let everything have been tried, and every digest have been made, a minute earlier."""
    for attempt in DeliveryAttempt.objects.all():
        DeliveryAttempt.objects.filter(pk=attempt.pk).update(started_at=attempt.started_at - timedelta(seconds=63))
    Notification.objects.filter(kind="digest").update(created_at=clock.now() - timedelta(seconds=63))


def flood(post: Post, count: int, first: int = 0, **labels: Any) -> None:
    post(*(firing(f"{i:03}", **labels) for i in range(first, first + count)))
