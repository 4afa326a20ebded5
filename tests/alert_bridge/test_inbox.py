"""The inbox: what became of each webhook in words, odd entries with their reasons, and stored ones applied again."""

import json
import zlib
from typing import Any

import pytest
from django.test import Client

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.pages import member, said, text
from tests.alert_bridge.words import firing, resolved, webhook
from userdb.models import Alert, AuditEntry, Channel, Notification, WebhookEvent

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

LIST = "/admin/userdb/webhookevent/"


@pytest.fixture
def operator(vendor: str) -> Client:
    return member("operator")


def results(client: Client) -> list[str]:
    """Return the words of the list, the newest webhook first."""
    page = client.get(LIST)
    admin = page.context["cl"].model_admin
    return [" ".join(str(admin.outcome(row)).replace("<", " <").split()) for row in page.context["cl"].result_list]


def test_changes_are_counted(operator: Client, post: Post) -> None:
    post(firing("a1"), firing("b2"))
    assert results(operator) == ["2 changes"]


def test_a_repeat_names_the_webhook_that_it_repeats(operator: Client, post: Post) -> None:
    post(firing())
    post(firing())
    post(firing())
    first = WebhookEvent.objects.order_by("pk")[0].pk
    assert [f"#{first}<" in words.replace(" <", "<") for words in results(operator)] == [True, True, False]
    assert "0 changes: repeat of" in results(operator)[0]


def test_a_repeat_is_of_its_own_group_and_receiver(operator: Client, post: Post) -> None:
    post(firing())
    post(body=webhook(firing("b2"), groupKey="{}:{other}"))
    post(firing())
    first = WebhookEvent.objects.order_by("pk")[0].pk
    assert f"#{first}" in results(operator)[0]


def test_a_repeat_whose_original_is_gone_says_so(operator: Client, post: Post) -> None:
    post(firing())
    post(firing())
    WebhookEvent.objects.earliest("pk").delete()
    assert results(operator) == ["0 changes: repeat of one before it"]


def test_odd_entries_are_counted_and_named(operator: Client, post: Post) -> None:
    post(firing(), firing("b2") | {"startsAt": "soon"})
    assert "1 odd entry" in results(operator)[0]
    words = text(operator.get(f"{LIST}{WebhookEvent.objects.get().pk}/change/"))
    assert "alerts[1]: " in words


def test_what_is_no_webhook_says_that_nothing_was_applied(operator: Client, post: Post) -> None:
    post(body=b'{"hello": "world"}')
    assert "Nothing applied" in results(operator)[0]


def test_a_webhooks_page_names_the_alerts_that_it_changed(operator: Client, post: Post) -> None:
    post(firing())
    body = operator.get(f"{LIST}{WebhookEvent.objects.get().pk}/change/").content.decode()
    assert f"/admin/userdb/alert/{Alert.objects.get().pk}/change/" in body


def replay(client: Client, **form: Any) -> Any:
    chosen = [str(pk) for pk in WebhookEvent.objects.values_list("pk", flat=True)]
    return client.post(LIST, {"action": "replay", "_selected_action": chosen} | form)


def test_a_replay_shows_first_what_it_would_change_and_writes_nothing(
    operator: Client, post: Post, mail: Channel
) -> None:
    post(firing())
    Notification.objects.all().delete()
    Alert.objects.all().update(state="firing")
    answer = replay(operator, everything="on")
    assert "Nothing has been written so far." in text(answer)
    assert not Notification.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_replay_applies_what_was_set_aside_and_is_on_record(operator: Client, post: Post, mail: Channel) -> None:
    post(body=webhook(firing() | {"startsAt": "soon"}))
    row = WebhookEvent.objects.get()
    assert not Alert.objects.exists()
    # as if a later release could read it
    row.body = zlib.compress(webhook(firing()))
    row.save()
    assert "1 changes" in text(replay(operator))
    assert "1 changes" in said(operator, replay(operator, confirmed="yes"))
    assert Alert.objects.get().state == "firing"
    entry = AuditEntry.objects.get()
    assert (entry.by, entry.action, entry.new["webhooks"], entry.new["changes"]) == ("alice", "replay", [row.pk], 1)


def test_a_replay_of_what_was_applied_changes_nothing(operator: Client, post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    assert "0 changes" in said(operator, replay(operator, confirmed="yes", everything="on"))
    assert Alert.objects.get().state == "resolved"


def test_a_viewer_may_not(post: Post) -> None:
    post(firing())
    viewer = member("viewer")
    assert "Apply selected webhooks" not in viewer.get(LIST).content.decode()
    replay(viewer, confirmed="yes", everything="on")
    assert not AuditEntry.objects.exists()


def test_the_list_reads_no_body(operator: Client, post: Post) -> None:
    post(firing())
    assert "body" in operator.get(LIST).context["cl"].result_list[0].get_deferred_fields()
    assert json.loads(webhook(firing()))["receiver"] in text(operator.get(LIST))
