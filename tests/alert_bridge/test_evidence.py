"""The failure events behind an alert: its tenant's, of its task and type, the last three, in text, HTML and the document."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from alert_bridge import evidence, message
from alert_bridge.channels.page import page
from alert_bridge.relay import Relay
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import receiver
from tests.alert_bridge.words import firing
from userdb import clock
from userdb.models import AlertIdentity, Channel, MonitorEvent, Notification
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


def happened(text: str, **more: Any) -> MonitorEvent:
    given = {"event_type": "gateway", "tenant": "alpha", "task": "flow", "failure_type": "timeout", "message": text}
    return MonitorEvent.objects.create(**given | more)


def told(post: Post, **labels: str) -> Notification:
    post(firing(**labels))
    return Notification.objects.select_related("channel", "alert__identity").latest("pk")


def found(notification: Notification) -> list[str]:
    return [row.said for row in evidence.of(notification.pk)]  # type: ignore[attr-defined]


def test_the_last_three_of_the_tenant_the_newest_first(post: Post, mail: Channel) -> None:
    for number in range(5):
        happened(f"failure {number}")
    happened("of another", tenant="beta")
    assert found(told(post)) == ["failure 4", "failure 3", "failure 2"]


@pytest.mark.parametrize("labels", [{"task": "flow"}, {"failure_type": "timeout"}])
def test_of_the_task_and_the_type_that_the_alert_names(post: Post, mail: Channel, labels: dict[str, str]) -> None:
    happened("meant")
    happened("other", task="cosim", failure_type="signal")
    assert found(told(post, **labels)) == ["meant"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, "business"),
        ({"pod": "sim-0"}, "restart"),
        ({"event_type": "request"}, "refused"),
        ({"event_type": "?"}, "business"),
    ],
)
def test_of_the_kind_that_the_alert_is_about(post: Post, mail: Channel, labels: dict[str, str], expected: str) -> None:
    happened("business")
    happened("restart", event_type="container")
    happened("refused", event_type="request")
    assert found(told(post, **labels)) == [expected]


def test_what_is_no_failure_is_no_evidence(post: Post, mail: Channel) -> None:
    happened("started", level="info")
    assert found(told(post)) == []


def test_what_came_after_the_cause_is_left_out_so_that_every_try_says_the_same(post: Post, mail: Channel) -> None:
    notification = told(post)
    happened("later", received_at=clock.now() + timedelta(seconds=5))
    assert found(notification) == []


def test_an_alert_of_no_tenant_has_none(post: Post, mail: Channel) -> None:
    happened("of nobody", tenant="unknown")
    assert found(told(post, tenant="")) == []


def test_long_messages_are_cut_before_they_leave_userdb(post: Post, mail: Channel) -> None:
    happened("流" * 20_000)
    assert found(told(post)) == ["流" * 500]


def test_it_is_two_queries_however_many_there_are_and_no_more_rows_than_a_bound(
    post: Post, mail: Channel, django_assert_num_queries: Any
) -> None:
    MonitorEvent.objects.bulk_create(
        MonitorEvent(event_type="gateway", tenant="alpha", task="x", message="m") for _ in range(300)
    )
    notification = told(post, task="never seen")
    with django_assert_num_queries(2, using=alias()) as queries:
        assert found(notification) == []
    assert "LIMIT 200" in queries[1]["sql"]


def test_the_index_gives_the_order(post: Post, mail: Channel, django_assert_num_queries: Any) -> None:
    MonitorEvent.objects.bulk_create(
        MonitorEvent(event_type=kind, tenant=f"t{n % 50}", message="m")
        for kind in ("gateway", "container")
        for n in range(500)
    )
    notification = told(post, tenant="t7")
    with django_assert_num_queries(2, using=alias()) as queries:
        evidence.of(notification.pk)
    with connections[alias()].cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN " if alias() == "default" else "EXPLAIN "
        cursor.execute(explain + queries[1]["sql"].replace("%", "%%"))
        plan = str(cursor.fetchall())
    assert "event_of_tenant" in plan
    assert "filesort" not in plan
    assert "TEMP B-TREE" not in plan


def test_it_stands_in_the_text_the_page_and_the_document(post: Post, mail: Channel) -> None:
    row = happened("<b>no</b> convergence")
    notification = told(post)
    written = message.write(notification, True, evidence.of(notification.pk))
    line = "error flow timeout: <b>no</b> convergence"
    assert "Last failures of alpha:\n  20" in written.text
    assert line in written.text
    assert "error flow timeout: &lt;b&gt;no&lt;/b&gt; convergence" in page(written.parts)
    assert written.document["evidence"] == [
        {
            "occurred_at": written.document["evidence"][0]["occurred_at"], "event_type": "gateway", "level": row.level,
            "task": "flow", "failure_type": "timeout", "source": "", "message": "<b>no</b> convergence",
        }
    ]  # fmt: skip


def test_the_relay_tells_it(post: Post, hook: Channel) -> None:
    happened("did not converge")
    with receiver() as server:
        hook.secrets = {"url": server.url, "secret": "s3cret"}
        hook.save()
        post(firing(severity="critical"))
        assert Relay().deliver_due(hook) == 1
    assert [event["message"] for event in json.loads(server.got[0].body)["evidence"]] == ["did not converge"]


@pytest.mark.parametrize("labels", [["by", "hand"], "by hand", None])
def test_labels_written_by_hand_cost_the_evidence_alone(post: Post, mail: Channel, labels: Any) -> None:
    happened("did not converge")
    notification = told(post)
    AlertIdentity.objects.update(labels=labels if labels is not None else {"task": ["a", "list"]})
    assert found(notification) == []
