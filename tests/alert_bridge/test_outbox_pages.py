"""What waits and why, dead letters sent again by POST, channels' last word, and the front page."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.pages import member, said, text
from tests.alert_bridge.words import firing
from userdb import clock
from userdb.models import AlertmanagerPeer, AuditEntry, Channel, DeliveryAttempt, Notification
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

OUTBOX, RESEND = "/admin/userdb/notification/outbox/", "/admin/userdb/notification/resend/"
LIST, CHANNELS, FRONT = "/admin/userdb/notification/", "/admin/userdb/channel/", "/admin/"


@pytest.fixture
def operator(vendor: str) -> Client:
    return member("operator")


@pytest.fixture
def dead(post: Post, mail: Channel) -> list[Notification]:
    """Three dead letters of one channel, for two reasons."""
    post(firing("a1"), firing("b2"), firing("c3"))
    rows = list(Notification.objects.order_by("pk"))
    Notification.objects.update(state="dead", reason="rejected", attempts=1)
    Notification.objects.filter(pk=rows[2].pk).update(reason="login")
    return rows


def states() -> list[str]:
    return list(Notification.objects.order_by("pk").values_list("state", flat=True))


def test_it_says_what_waits_and_why(operator: Client, post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2"), firing("c3"))
    first, second, _ = Notification.objects.order_by("pk")
    later = clock.now() + timedelta(minutes=5)
    Notification.objects.filter(pk=first.pk).update(attempts=1, due_at=later)
    Notification.objects.filter(pk=second.pk).update(due_at=later)
    found = {row.why: row.count for row in operator.get(OUTBOX).context["waiting"]}
    assert found == {
        "tried again later, after a failed try": 1,
        "not before the end of quiet hours": 1,
        "the relay takes it next": 1,
    }


def test_empty_it_says_so(operator: Client) -> None:
    words = text(operator.get(OUTBOX))
    assert "Nothing waits" in words
    assert "None: nothing was refused for good" in words


def test_dead_letters_are_counted_by_channel_and_reason(operator: Client, dead: list[Notification]) -> None:
    found = [(row.channel.name, row.reason, row.count) for row in operator.get(OUTBOX).context["dead"]]
    assert found == [("mail", "rejected", 2), ("mail", "login", 1)]


def test_it_is_said_how_many_before_anything_is_sent(operator: Client, dead: list[Notification]) -> None:
    answer = operator.post(RESEND)
    assert "3 dead letters will be sent again" in text(answer)
    assert states() == ["dead"] * 3


def test_all_are_sent_again_and_it_is_on_record(operator: Client, dead: list[Notification]) -> None:
    assert said(operator, operator.post(RESEND, {"confirmed": "yes"})) == "3 messages owed again."
    assert states() == ["owed"] * 3
    entry = AuditEntry.objects.get(action="resend")
    assert (entry.by, entry.new["count"]) == ("alice", 3)


def test_those_of_a_channel_and_reason_alone(operator: Client, dead: list[Notification]) -> None:
    form: dict[str, Any] = {"channel": dead[0].channel_id, "reason": "login"}
    shown = operator.post(RESEND, form)
    assert "1 dead letter will be sent again" in text(shown)
    assert (
        said(operator, operator.post(RESEND, dict(shown.context["hidden"]) | {"confirmed": "yes"}))
        == "1 message owed again."
    )
    assert states() == ["dead", "dead", "owed"]


def test_those_that_are_selected_alone(operator: Client, dead: list[Notification]) -> None:
    form: dict[str, Any] = {"action": "send_again", "_selected_action": [dead[1].pk]}
    shown = operator.post(LIST, form)
    assert "1 dead letter will be sent again" in text(shown)
    operator.post(RESEND, {"pk": [value for _, value in shown.context["hidden"]], "confirmed": "yes"})
    assert states() == ["dead", "owed", "dead"]


def test_what_is_no_dead_letter_is_not_sent_again(operator: Client, dead: list[Notification]) -> None:
    Notification.objects.update(state="delivered")
    form: dict[str, Any] = {"action": "send_again", "_selected_action": [dead[1].pk]}
    assert "nothing to send again" in text(operator.post(LIST, form))
    assert "0 messages" in said(operator, operator.post(RESEND, {"pk": dead[1].pk, "confirmed": "yes"}))
    assert states() == ["delivered"] * 3


def test_those_of_a_channel_that_is_off_stay_dead(operator: Client, dead: list[Notification]) -> None:
    Channel.objects.update(enabled=False)
    assert "3 of channel mail stay dead: it is off." in text(operator.post(RESEND))


@pytest.mark.parametrize("form", [{"channel": "999"}, {"channel": "x"}, {"channel": "1" * 30}])
def test_a_channel_that_is_none_sends_nothing(operator: Client, dead: list[Notification], form: dict[str, str]) -> None:
    assert "no such channel" in said(operator, operator.post(RESEND, form | {"confirmed": "yes"}))
    assert states() == ["dead"] * 3


def test_a_viewer_sees_and_sends_nothing(dead: list[Notification]) -> None:
    viewer = member("viewer")
    assert "Send all" not in viewer.get(OUTBOX).content.decode()
    assert viewer.post(RESEND, {"confirmed": "yes"}).status_code == 403
    viewer.post(LIST, {"action": "send_again", "_selected_action": [dead[0].pk]})
    assert states() == ["dead"] * 3


def test_a_link_sends_nothing(operator: Client, dead: list[Notification]) -> None:
    assert operator.get(f"{RESEND}?confirmed=yes").status_code == 405


def attempt(notification: Notification, outcome: str, **fields: Any) -> None:
    DeliveryAttempt.objects.create(notification=notification, number=1, relay="relay-0:1", outcome=outcome, **fields)
    Notification.objects.filter(pk=notification.pk).update(attempts=1)


def test_a_channel_says_when_it_delivered(operator: Client, post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(state="delivered", delivered_at=clock.now() - timedelta(minutes=3, seconds=5))
    assert "Delivered, 3\xa0minutes ago" in operator.get(CHANNELS).content.decode()


def test_a_channel_that_fails_says_since_when_and_why(operator: Client, post: Post, mail: Channel) -> None:
    post(firing())
    attempt(Notification.objects.get(), "temporary", reason="rate_limited", status="429", answer="slow down")
    words = text(operator.get(CHANNELS))
    assert "Failing since" in words
    assert "rate limited: 429 slow down" in words


@pytest.mark.parametrize("page", [CHANNELS, FRONT])
def test_a_failure_is_said_without_a_word_twice(operator: Client, post: Post, mail: Channel, page: str) -> None:
    post(firing())
    attempt(Notification.objects.get(), "temporary", reason="connection", answer="no connection: refused")
    assert " UTC: no connection: refused" in text(operator.get(page)).replace("CST", "UTC")


def test_a_failure_before_the_last_delivery_is_over(operator: Client, post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2"))
    first, second = Notification.objects.order_by("pk")
    attempt(first, "permanent", reason="rejected")
    Notification.objects.filter(pk=first.pk).update(state="dead", reason="rejected")
    Notification.objects.filter(pk=second.pk).update(state="delivered", delivered_at=clock.now() + timedelta(seconds=1))
    assert "Failing" not in text(operator.get(CHANNELS))


@pytest.mark.parametrize("page", [CHANNELS, FRONT])
def test_without_an_enabled_channel_it_says_in_red_that_nobody_is_told(
    operator: Client, mail: Channel, page: str
) -> None:
    assert "Nobody is told of anything" not in text(operator.get(page))
    Channel.objects.update(enabled=False)
    assert "Nobody is told of anything: no channel is switched on." in text(operator.get(page))


def parts(client: Client) -> dict[str, Any]:
    return {part.name.split(" ")[0]: part for part in client.get(FRONT).context["parts"]}


def test_the_front_page_says_what_fires_by_tenant_the_worst_first(operator: Client, post: Post) -> None:
    post(
        firing("a1"), firing("b2", tenant="beta", severity="critical"), firing("c3", tenant="beta"),
        firing("w", alertname="Watchdog", tenant=""),
    )  # fmt: skip
    found = operator.get(FRONT).context["overview"]
    assert [(one.tenant, one.total, one.by_severity["critical"]) for one in found.firing] == [
        ("beta", 2, 1),
        ("alpha", 1, 0),
    ]
    assert found.firing_total == 3


def test_the_front_page_says_what_of_the_chain_is_silent(operator: Client, post: Post, mail: Channel) -> None:
    now = clock.now()
    AlertmanagerPeer.objects.create(url="http://am-0:9093", asked_at=now, answered_at=now, firing=4)
    AlertmanagerPeer.objects.create(url="http://am-1:9093", asked_at=now, error="connection refused")
    post(firing())
    Notification.objects.update(due_at=now - timedelta(minutes=10))
    found = parts(operator)
    assert found["relay"].tone == "bad"
    assert "Does alert-bridge relay run?" in found["relay"].word
    assert found["reconciliation"].tone == "good"
    words = text(operator.get(FRONT))
    assert "Does not answer: connection refused" in words
    assert "listed 4 alerts" in words


def test_a_relay_that_tries_is_not_asked_after(operator: Client, post: Post, mail: Channel) -> None:
    post(firing())
    attempt(Notification.objects.get(), "temporary", reason="connection", started_at=clock.now())
    Notification.objects.update(due_at=clock.now() - timedelta(minutes=10))
    found = parts(operator)["relay"]
    assert (found.tone, "Does alert-bridge relay run?" in found.word) == ("bad", False)


def test_what_is_monitored_stands_before_who_may_look(admin_client: Client) -> None:
    shown = admin_client.get(FRONT).context["app_list"]
    assert [app["name"] for app in shown] == ["Monitoring", "Authentication and Authorization", "Login protection"]
    assert [model["object_name"] for model in shown[-1]["models"]] == ["AccessAttempt"]


def test_a_reconciler_that_went_away_is_said(operator: Client) -> None:
    AlertmanagerPeer.objects.create(url="http://am-0:9093", asked_at=clock.now() - timedelta(hours=1))
    assert "Does alert-bridge reconcile run?" in parts(operator)["reconciliation"].word


def test_dead_letters_stand_on_the_front_page(operator: Client, dead: list[Notification]) -> None:
    assert "3 could not be delivered" in parts(operator)["dead"].word


def test_an_empty_front_page_says_what_to_do(operator: Client) -> None:
    words = text(operator.get(FRONT))
    assert "Nothing fires, as far as is known" in words
    assert "start alert-bridge reconcile" in words


def test_the_front_pages_statements_do_not_grow(operator: Client, post: Post, mail: Channel) -> None:
    operator.get(FRONT)
    counts = []
    for n in (1, 20):
        post(*(firing(f"{n}-{m}", tenant=f"tenant-{m}") for m in range(n)))
        for m in range(n):
            Channel.objects.create(name=f"{n}-{m}", kind="webhook")
        with CaptureQueriesContext(connections[alias()]) as statements:
            operator.get(FRONT)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 20
