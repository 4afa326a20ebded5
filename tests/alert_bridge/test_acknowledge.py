"""Acknowledging an episode: who, when, why; no repeats from then on, the end as ever; by permission, POST and audit."""

from datetime import timedelta

import pytest
from django.test import Client

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.pages import member, said, text
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import Acknowledgement, Alert, AuditEntry, Channel, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


@pytest.fixture
def alert(post: Post, mail: Channel) -> Alert:
    """An episode that the channel was told of five hours ago: its next webhook would owe a repeat."""
    Channel.objects.update(repeat_after=timedelta(hours=1))
    post(firing())
    Notification.objects.update(state="delivered", created_at=clock.now() - timedelta(hours=5))
    return Alert.objects.get()


@pytest.fixture
def operator(vendor: str) -> Client:
    return member("operator")


def acknowledge(client: Client, alert: Alert, note: str = "on it") -> str:
    return said(client, client.post(f"/admin/userdb/alert/{alert.pk}/acknowledge/", {"note": note}))


def owed() -> list[tuple[int, str]]:
    return [(n.alert.number, n.kind) for n in Notification.objects.order_by("pk") if n.alert]


def test_it_is_noted_who_took_it_on_and_why(operator: Client, alert: Alert) -> None:
    assert "not repeated any more" in acknowledge(operator, alert)
    entry = Acknowledgement.objects.get()
    assert (entry.alert_id, entry.by, entry.note) == (alert.pk, "alice", "on it")
    audit = AuditEntry.objects.get()
    assert (audit.by, audit.action, audit.kind, audit.object_id) == ("alice", "acknowledge", "alert", str(alert.pk))
    assert audit.new == {"note": "on it"}
    page = text(operator.get(f"/admin/userdb/alert/{alert.pk}/change/"))
    assert "Acknowledged by alice" in page
    assert "no repeats: it is acknowledged" in page


def test_an_acknowledged_episode_owes_no_repeats(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    post(firing())
    assert owed() == [(1, "firing")]


def test_without_it_the_repeat_is_owed(post: Post, alert: Alert) -> None:
    post(firing())
    assert owed() == [(1, "firing"), (1, "repeat")]


def test_its_end_is_told_as_ever(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    post(resolved())
    assert owed() == [(1, "firing"), (1, "resolved")]


def test_the_next_episode_is_a_new_one(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    post(resolved())
    post(firing(start=120))
    Notification.objects.update(state="delivered", created_at=clock.now() - timedelta(hours=5))
    post(firing(start=120))
    assert owed()[2:] == [(2, "firing"), (2, "repeat")]


def test_what_is_over_is_not_acknowledged(operator: Client, post: Post, alert: Alert) -> None:
    post(resolved())
    assert "is over" in acknowledge(operator, alert)
    assert not Acknowledgement.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_viewer_may_not(alert: Alert) -> None:
    viewer = member("viewer")
    assert viewer.post(f"/admin/userdb/alert/{alert.pk}/acknowledge/", {"note": "x"}).status_code == 403
    assert 'value="Acknowledge"' not in viewer.get(f"/admin/userdb/alert/{alert.pk}/change/").content.decode()
    assert not Acknowledgement.objects.exists()


def test_a_link_acknowledges_nothing(operator: Client, alert: Alert) -> None:
    assert operator.get(f"/admin/userdb/alert/{alert.pk}/acknowledge/").status_code == 405
    assert not Acknowledgement.objects.exists()


def test_a_foreign_sites_form_acknowledges_nothing(alert: Alert) -> None:
    operator = member("operator")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(f"/admin/userdb/alert/{alert.pk}/acknowledge/", {"note": "x"}).status_code == 403
    assert not Acknowledgement.objects.exists()


def test_an_alert_that_is_not_there_is_not_found(operator: Client) -> None:
    assert operator.post("/admin/userdb/alert/999/acknowledge/", {"note": "x"}).status_code == 404


def test_an_odd_note_is_kept_as_text(operator: Client, alert: Alert) -> None:
    acknowledge(operator, alert, "<b>\0" + "x" * 2000)
    assert Acknowledgement.objects.get().note == "<b>" + "x" * 996
    assert "<b>" not in operator.get(f"/admin/userdb/alert/{alert.pk}/change/").content.decode()
