"""What a digest says, and what it costs."""

from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from alert_bridge import claims, digest_message
from alert_bridge.channels.base import DeliveryError, Receipt, TemporaryError
from alert_bridge.relay import Relay, send
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.floods import a_minute_later, begun, digest, flood, told
from tests.alert_bridge.receivers import Receiver, status
from tests.alert_bridge.words import resolved
from userdb.models import Alert, Channel, Notification
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THANKS = Receipt("200", "thanks")
BUSY = TemporaryError("server_error", "busy", "503")


def test_a_person_reads_counts_groups_and_links_of_the_worst(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    flood(post, 12)
    post(resolved("000"))
    flood(post, 3, first=100, alertname="PodNotReady", severity="warning")
    [claim] = claims.take(limited_hook.pk)
    start = claims.start(claim, "tests")
    assert start is not None
    assert start.contents is not None
    message = digest_message.write(start.notification, start.contents)
    lines = message.text.splitlines()
    assert lines[0] == "DIGEST: 15 alerts, 14 of them firing"
    assert "Firing now:  14" in lines
    assert "Over:        1" in lines
    assert "Stands for:  15 firing, 1 resolved" in lines
    assert "  error SimulationFailing (alpha) = 11 firing, 1 over" in lines
    assert "  warning PodNotReady (alpha) = 3 firing, 0 over" in lines
    first = Notification.objects.get(identity="001").alert_id
    assert (
        "error SimulationFailing (alpha), firing since 2026-11-24T10:00:00.000Z: it fails: "
        f"http://127.0.0.1:8000/admin/userdb/alert/{first}/change/"
    ) in lines
    assert len([line for line in lines if "/admin/userdb/alert/" in line]) == 10
    assert f"This digest and all that it stands for: {message.url}" in lines
    assert message.url.endswith(f"/admin/userdb/notification/{start.notification.pk}/change/")


def test_a_chinese_channel_reads_it_in_chinese(post: Post, limited_hook: Channel, destination: Receiver) -> None:
    Channel.objects.update(language="zh")
    flood(post, 6)
    Relay().deliver_due(limited_hook)
    assert told(destination)[0]["title"].startswith(
        "【告警汇总】6 个告警,其中 6 个仍在触发:error SimulationFailing(alpha)"
    )


@pytest.mark.parametrize("annotations", [["written", "by", "hand"], "by hand", {"summary": 7}])
def test_annotations_written_by_hand_cost_the_summary_alone(
    post: Post, limited_hook: Channel, annotations: Any
) -> None:
    flood(post, 6)
    Alert.objects.update(annotations=annotations)
    assert Relay().deliver_due(limited_hook) == 1
    assert digest().state == "delivered"


def test_what_a_digest_costs_does_not_grow_with_its_members(post: Post, limited_hook: Channel) -> None:
    def statements(count: int, first: int) -> int:
        flood(post, count, first)
        with CaptureQueriesContext(connections[alias()]) as captured:
            claims.delivered(begun(limited_hook), THANKS, 5)
        return len(captured)

    few = statements(6, 0)
    a_minute_later()
    assert statements(500, 100) == few
    assert Notification.objects.latest("id").members.filter(state="delivered").count() == 500


def test_send_raises_nothing_but_delivery_errors_for_a_digest(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    destination.answer = status(500)
    flood(post, 6)
    with pytest.raises(DeliveryError):
        send(begun(limited_hook))
