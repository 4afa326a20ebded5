"""An alert's page: one timeline from the failures to each try's answer, and who was told, who not, and why."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alert_bridge.queries import window
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.pages import member, text
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import Alert, AlertIdentity, Channel, DeliveryAttempt, MonitorEvent, Notification, WebhookEvent
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


@pytest.fixture
def viewer(vendor: str) -> Client:
    return member("viewer")


def page(alert: Alert | None = None) -> str:
    return f"/admin/userdb/alert/{(alert or Alert.objects.get()).pk}/change/"


def lines(client: Client, query: str = "") -> list[Any]:
    found: list[Any] = client.get(page() + query).context["lines"]
    return found


def kinds(client: Client) -> list[str]:
    return [line.what for line in lines(client)]


def delivered(notification: Notification, after: float = 1.2) -> None:
    """Record that the relay's first try arrived so many seconds after the webhook."""
    moment = notification.cause_at + timedelta(seconds=after)
    DeliveryAttempt.objects.create(
        notification=notification, number=1, relay="relay-0:17", started_at=moment, milliseconds=35,
        outcome="delivered", status="250", answer="queued as 4F2",
    )  # fmt: skip
    Notification.objects.filter(pk=notification.pk).update(state="delivered", delivered_at=moment, attempts=1)


def test_the_timeline_goes_from_the_failure_to_the_answer_and_the_end(
    viewer: Client, post: Post, mail: Channel
) -> None:
    now = clock.now()
    labels = {"event_type": "gateway", "task": "flow", "failure_type": "timeout"}
    MonitorEvent.objects.create(tenant="alpha", message="too slow", occurred_at=now, **labels)
    start = {"startsAt": now.isoformat()}
    post(firing(task="flow") | start)
    delivered(Notification.objects.get())
    ends = (now + timedelta(seconds=60)).isoformat()
    post(resolved(task="flow") | start | {"endsAt": ends})
    told = lines(viewer)
    assert sorted(line.what for line in told) == [
        "began", "change", "change", "ended", "failure", "owed", "owed", "try", "webhook", "webhook",
    ]  # fmt: skip
    assert [line.at for line in told] == sorted(line.at for line in told)
    words = text(viewer.get(page()))
    for part in ("error flow timeout", "too slow", "brought by a webhook", "Try 1 to mail: delivered", "250 queued as 4F2",
                 "took 35 ms", "told 1.2 s after the webhook", "Resolved", "Firing is owed to mail"):  # fmt: skip
        assert part in words, part


def test_causes_stand_before_what_they_cause(viewer: Client, post: Post, mail: Channel) -> None:
    post(firing())
    assert [kind for kind in kinds(viewer) if kind != "began"] == ["webhook", "change", "owed"]


def test_times_have_seconds_and_a_zone_and_the_time_since_the_line_before(
    viewer: Client, post: Post, mail: Channel
) -> None:
    post(firing())
    delivered(Notification.objects.get(), 90)
    (last,) = [line for line in lines(viewer) if line.what == "try"]
    assert last.gap == "+1 min 30 s"
    assert " CST" in text(viewer.get(page()))


def test_a_tenants_other_failures_are_not_behind_it(viewer: Client, post: Post) -> None:
    for tenant, task, level in (("beta", "flow", "error"), ("alpha", "other", "error"), ("alpha", "flow", "info")):
        MonitorEvent.objects.create(event_type="gateway", message="x", tenant=tenant, task=task, level=level)
    post(firing(task="flow") | {"startsAt": clock.now().isoformat()})
    assert "failure" not in kinds(viewer)


def test_what_failed_later_is_not_behind_it(viewer: Client, post: Post) -> None:
    post(firing() | {"startsAt": clock.now().isoformat()})
    MonitorEvent.objects.create(
        event_type="gateway", message="x", tenant="alpha", received_at=clock.now() + timedelta(1)
    )
    assert "failure" not in kinds(viewer)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"enabled": False}, "it is off"),
        ({"matchers": 'severity="critical"'}, "it wants severity='critical'"),
        ({"tenants": ["beta"]}, "it wants the alerts of beta alone"),
    ],
)
def test_it_says_why_a_channel_was_not_told(
    viewer: Client, post: Post, mail: Channel, changes: dict[str, Any], why: str
) -> None:
    Channel.objects.update(**changes)
    post(firing())
    (row,) = viewer.get(page()).context["channels"]
    assert (row.outcome, row.why) == ("not told", why)


def test_it_says_that_a_channel_was_told_and_how_fast(viewer: Client, post: Post, mail: Channel) -> None:
    post(firing())
    delivered(Notification.objects.get())
    (row,) = viewer.get(page()).context["channels"]
    assert (row.outcome, row.why) == ("told", "firing delivered after 1.2 s")


def test_it_says_that_a_message_is_dead(viewer: Client, post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(state="dead", reason="rejected")
    (row,) = viewer.get(page()).context["channels"]
    assert (row.outcome, row.why) == ("dead", "firing dead (rejected)")


def test_a_channel_made_later_would_want_it(viewer: Client, post: Post) -> None:
    post(firing())
    Channel.objects.create(name="late", kind="webhook")
    (row,) = viewer.get(page()).context["channels"]
    assert (row.outcome, row.why) == ("not told", "it wants it: it is told at the next webhook that says it fires")


def test_without_a_channel_it_says_that_nobody_is_told(viewer: Client, post: Post) -> None:
    post(firing())
    assert "Nobody: there is no channel." in text(viewer.get(page()))


def test_links_lead_to_the_web_alone(viewer: Client, post: Post) -> None:
    notes = {"runbook_url": "javascript:alert(1)", "dashboard_url": "https://grafana/d/1"}
    post(firing() | {"annotations": notes})
    assert viewer.get(page()).context["links"] == [
        ("Graph", "http://prometheus/graph"), ("Dashboard", "https://grafana/d/1"),
    ]  # fmt: skip


def test_what_strangers_say_is_text(viewer: Client, post: Post) -> None:
    post(firing(pod="<script>alert(1)</script>") | {"annotations": {"summary": "<img src=x>"}})
    body = viewer.get(page()).content.decode()
    assert "<script>alert" not in body
    assert "<img src=x>" not in body


def test_neighbours_are_other_episodes_and_what_fires_of_the_tenant(viewer: Client, post: Post) -> None:
    post(firing(), firing("b2", alertname="Other"), firing("c3", tenant="beta"))
    post(firing(start=60))
    last = Alert.objects.order_by("pk").last()
    shown = viewer.get(page(last)).context
    assert [other.number for other in shown["episodes"]] == [1]
    assert [other.identity.alertname for other in shown["beside"]] == ["Other"]


def test_who_closed_it_is_said(viewer: Client, post: Post) -> None:
    post(firing())
    Alert.objects.update(state="resolved", closed_by="reconciliation")
    words = text(viewer.get(page()))
    assert "closed by reconciliation" in words
    assert "end not known" in words


def test_a_silenced_alert_says_so(viewer: Client, post: Post) -> None:
    post(firing())
    AlertIdentity.objects.update(suppression="silenced")
    assert "Silenced when the Alertmanagers were last asked" in text(viewer.get(page()))


def repeated(count: int) -> None:
    """Let the episode's only message have been repeated so many times."""
    first = Notification.objects.get()
    moment = first.created_at
    Notification.objects.bulk_create(
        Notification(
            key=f"r-{n}", channel=first.channel, identity=first.identity, alert=first.alert, kind="repeat", ordinal=n,
            created_at=moment + timedelta(hours=4 * n), cause_at=moment, due_at=moment, first_due_at=moment,
            state="void",
        )
        for n in range(1, count + 1)
    )  # fmt: skip


def test_a_long_story_is_told_in_pages_that_leave_nothing_out(viewer: Client, post: Post, mail: Channel) -> None:
    post(firing())
    repeated(250)
    seen: list[str] = []
    query = ""
    for _ in range(4):
        shown = viewer.get(page() + query).context
        assert len(shown["lines"]) <= window.ROWS + 2
        seen += [line.url for line in shown["lines"] if line.what == "owed"]
        if shown["later"] is None:
            break
        query = f"?since={shown['later'].isoformat().replace('+', '%2B')}"
    assert len(seen) == len(set(seen)) == 251


def test_it_can_be_read_from_its_end(viewer: Client, post: Post, mail: Channel) -> None:
    post(firing())
    repeated(250)
    seen: list[str] = []
    query = "?newest"
    for _ in range(4):
        shown = viewer.get(page() + query).context
        seen = [line.url for line in shown["lines"] if line.what == "owed"] + seen
        if shown["earlier"] is None:
            break
        query = f"?until={shown['earlier'].isoformat().replace('+', '%2B')}"
    assert len(seen) == len(set(seen)) == 251
    assert kinds(viewer).count("webhook") == 1


def test_more_of_one_instant_than_a_page_holds_are_one_page(viewer: Client, post: Post, mail: Channel) -> None:
    post(firing())
    repeated(250)
    Notification.objects.update(created_at=clock.now())
    first = viewer.get(page()).context
    query = f"?since={first['later'].isoformat().replace('+', '%2B')}"
    assert viewer.get(page() + query).context["lines"]


@pytest.mark.parametrize(
    "query", ["?since=soon", "?until=2026-99-99T00:00:00Z", "?since=2026-11-24T10:00:00", "?newest=1"]
)
def test_odd_bounds_are_no_error(viewer: Client, post: Post, query: str) -> None:
    post(firing())
    assert viewer.get(page() + query).status_code == 200


def test_the_statements_do_not_grow_with_the_story(viewer: Client, post: Post, mail: Channel) -> None:
    post(firing())
    viewer.get(page())
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connections[alias()]) as statements:
            viewer.get(page())
        counts.append(len(statements))
        repeated(80) if len(counts) == 1 else None
    assert counts[0] == counts[1] <= 20


def test_bodies_of_webhooks_are_not_read(viewer: Client, post: Post) -> None:
    post(firing())
    assert WebhookEvent.objects.count() == 1
    with CaptureQueriesContext(connections[alias()]) as statements:
        viewer.get(page())
    assert not any("body`" in s["sql"] or '"body"' in s["sql"] for s in statements)
