"""Acknowledging an episode and withdrawing it: who, when, why; repeats stop and go on, the end is told as ever."""

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


def withdraw(client: Client, alert: Alert, number: int | str | None = None) -> str:
    named = Acknowledgement.objects.earliest("pk").pk if number is None else number
    return said(client, client.post(f"/admin/userdb/alert/{alert.pk}/withdraw/", {"acknowledgement": named}))


def test_after_it_is_withdrawn_repeats_go_on(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    post(firing())
    assert "repeated again" in withdraw(operator, alert)
    post(firing())
    assert owed() == [(1, "firing"), (1, "repeat")]


def test_what_was_withdrawn_stays_on_record_with_who_and_when(operator: Client, alert: Alert) -> None:
    acknowledge(operator, alert)
    before = clock.now()
    withdraw(member("operator", "bob"), alert)
    entry = Acknowledgement.objects.get()
    assert (entry.by, entry.note, entry.withdrawn_by) == ("alice", "on it", "bob")
    assert entry.withdrawn_at
    assert before <= entry.withdrawn_at <= clock.now()
    audit = AuditEntry.objects.latest("pk")
    assert (audit.by, audit.action, audit.object_id) == ("bob", "withdraw_acknowledgement", str(alert.pk))
    assert audit.new == {"acknowledged by": "alice", "note": "on it"}


def test_the_page_tells_both_in_the_timeline_and_that_repeats_go_on(operator: Client, alert: Alert) -> None:
    acknowledge(operator, alert)
    withdraw(operator, alert)
    answer = operator.get(f"/admin/userdb/alert/{alert.pk}/change/")
    titles = [line.title for line in answer.context["lines"] if line.what == "person"]
    assert titles == ["Acknowledged by alice", "Acknowledgement withdrawn by alice"]
    assert "withdrawn by alice" in text(answer)
    assert "no repeats: it is acknowledged" not in text(answer)
    assert 'value="Withdraw"' not in answer.content.decode()


def test_while_another_has_taken_it_on_it_is_not_repeated(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    acknowledge(member("operator", "bob"), alert, "me too")
    assert "Somebody else has taken it on" in withdraw(operator, alert)
    post(firing())
    assert owed() == [(1, "firing")]


def test_it_is_withdrawn_once(operator: Client, alert: Alert) -> None:
    acknowledge(operator, alert)
    withdraw(operator, alert)
    assert "Nothing was withdrawn" in withdraw(member("operator", "bob"), alert)
    assert Acknowledgement.objects.get().withdrawn_by == "alice"
    assert AuditEntry.objects.count() == 2


def test_it_can_be_taken_on_again(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    withdraw(operator, alert)
    acknowledge(operator, alert, "again")
    post(firing())
    assert owed() == [(1, "firing")]


def test_of_what_is_over_nothing_is_withdrawn(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    post(resolved())
    assert "Nothing was withdrawn" in withdraw(operator, alert)
    assert Acknowledgement.objects.get().withdrawn_at is None


def test_a_viewer_may_not_withdraw(operator: Client, alert: Alert) -> None:
    acknowledge(operator, alert)
    number, viewer = Acknowledgement.objects.get().pk, member("viewer", "bob")
    answer = viewer.post(f"/admin/userdb/alert/{alert.pk}/withdraw/", {"acknowledgement": number})
    assert answer.status_code == 403
    assert 'value="Withdraw"' not in viewer.get(f"/admin/userdb/alert/{alert.pk}/change/").content.decode()
    assert Acknowledgement.objects.get().withdrawn_at is None


def test_a_link_withdraws_nothing(operator: Client, alert: Alert) -> None:
    acknowledge(operator, alert)
    assert operator.get(f"/admin/userdb/alert/{alert.pk}/withdraw/").status_code == 405
    assert Acknowledgement.objects.get().withdrawn_at is None


@pytest.mark.parametrize("named", ["", "x", "-1", "²", "9" * 30, "999"])
def test_an_acknowledgement_that_the_episode_has_not_is_not_found(operator: Client, alert: Alert, named: str) -> None:
    answer = operator.post(f"/admin/userdb/alert/{alert.pk}/withdraw/", {"acknowledgement": named})
    assert answer.status_code == 404


def test_an_acknowledgement_of_another_episode_is_not_found(operator: Client, post: Post, alert: Alert) -> None:
    acknowledge(operator, alert)
    post(resolved())
    post(firing(start=120))
    other = Alert.objects.latest("pk")
    form = {"acknowledgement": Acknowledgement.objects.get().pk}
    assert operator.post(f"/admin/userdb/alert/{other.pk}/withdraw/", form).status_code == 404


def test_the_list_leads_to_the_alerts_page_and_says_what_was_withdrawn(operator: Client, alert: Alert) -> None:
    acknowledge(operator, alert)
    withdraw(member("operator", "bob"), alert)
    answer = operator.get("/admin/userdb/acknowledgement/")
    link = f'<a href="/admin/userdb/alert/{alert.pk}/change/">SimulationFailing, episode 1</a>'
    assert link in answer.content.decode()
    assert "alice" in text(answer)
    assert "bob" in text(answer)
