"""Silences from an alert's page: made, listed and ended in a real Alertmanager, in the admin's name."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from alert_bridge import alertmanagers
from tests.alert_bridge.alertmanagers import Alertmanager
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.pages import member, said, text
from tests.alert_bridge.processes import ask
from tests.alert_bridge.words import firing
from tests.mariadb import free_port
from userdb.models import Alert, AuditEntry

pytestmark = [pytest.mark.django_db(databases="__all__")]

ODD = 'a "quoted" \\ path\nin two lines'


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    server = Alertmanager(tmp_path_factory.mktemp("alertmanager"), "http://127.0.0.1:9/")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def configured(real: Alertmanager, monkeypatch: pytest.MonkeyPatch) -> Alertmanager:
    monkeypatch.setenv("ALERTMANAGER_URL", real.url)
    return real


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("ALERTMANAGER_URL", url)
    return url


@pytest.fixture
def alert(post: Post, request: pytest.FixtureRequest) -> Alert:
    """One alert of its own in each test: silences of the others don't cover it."""
    post(firing(path=ODD, test=request.node.name))
    return Alert.objects.get()


@pytest.fixture
def operator(db: None) -> Client:
    return member("operator")


def page(alert: Alert) -> str:
    return f"/admin/userdb/alert/{alert.pk}/silences/"


def prefilled(client: Client, alert: Alert) -> dict[str, str]:
    form = client.get(page(alert)).context["form"]
    return {"matchers": form["matchers"].value(), "duration": "30m", "comment": "we work on it"}


def known(server: Alertmanager) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask(f"{server.url}/api/v2/silences").body)
    return found


def silence(client: Client, alert: Alert, **changes: str) -> Any:
    return client.post(page(alert), prefilled(client, alert) | changes)


@pytest.mark.processes
def test_a_silence_is_made_with_the_alerts_labels_in_the_admins_name(
    configured: Alertmanager, operator: Client, alert: Alert
) -> None:
    assert "Silenced until" in said(operator, silence(operator, alert))
    (made,) = [
        s
        for s in known(configured)
        if {"test"} <= {m["name"] for m in s["matchers"] if m["value"] == alert.identity.labels["test"]}
    ]
    assert {m["name"]: m["value"] for m in made["matchers"]} == alert.identity.labels
    assert (made["createdBy"], made["comment"], made["status"]["state"]) == ("alice", "we work on it", "active")
    ends = datetime.fromisoformat(made["endsAt"])
    assert timedelta(minutes=29) < ends - datetime.now(UTC) <= timedelta(minutes=30)
    entry = AuditEntry.objects.get()
    assert (entry.by, entry.action, entry.object_id, entry.new["id"]) == ("alice", "silence", str(alert.pk), made["id"])


@pytest.mark.processes
def test_it_silences_the_alert(configured: Alertmanager, operator: Client, alert: Alert) -> None:
    configured.post({"labels": alert.identity.labels})
    silence(operator, alert)
    (listed,) = [
        a for a in json.loads(ask(f"{configured.url}/api/v2/alerts").body) if a["labels"] == alert.identity.labels
    ]
    assert listed["status"]["state"] == "suppressed"


@pytest.mark.processes
def test_a_silence_that_covers_it_is_listed_and_ended(configured: Alertmanager, operator: Client, alert: Alert) -> None:
    silence(operator, alert)
    shown = operator.get(page(alert))
    (found,) = shown.context["silences"]
    assert "we work on it" in text(shown)
    assert "is over" in said(operator, operator.post(f"{page(alert)}expire/", {"silence": found.id}))
    assert operator.get(page(alert)).context["silences"] == []
    assert AuditEntry.objects.filter(action="expire_silence", new={"id": found.id}).count() == 1
    timeline = text(operator.get(f"/admin/userdb/alert/{alert.pk}/change/"))
    assert "Silenced by alice" in timeline
    assert "Silence ended by alice" in timeline


@pytest.mark.processes
def test_a_silence_of_other_alerts_is_not_listed(configured: Alertmanager, operator: Client, alert: Alert) -> None:
    now = datetime.now(UTC)
    other = alertmanagers.Matcher("tenant", "=", "beta")
    alertmanagers.create_silence([other], now, now + timedelta(hours=1), "bob", "other")
    assert operator.get(page(alert)).context["silences"] == []


@pytest.mark.processes
def test_a_silence_that_nobody_knows_is_not_ended(configured: Alertmanager, operator: Client, alert: Alert) -> None:
    answer = operator.post(f"{page(alert)}expire/", {"silence": "00000000-0000-0000-0000-000000000000"})
    assert "was not ended" in said(operator, answer)
    assert not AuditEntry.objects.exists()


def test_without_an_alertmanager_the_page_says_so_and_nothing_is_done(
    nobody: str, operator: Client, alert: Alert
) -> None:
    shown = text(operator.get(page(alert)))
    assert f"{nobody} does not answer" in shown
    assert "Not known: no Alertmanager answers" in shown
    answer = text(silence(operator, alert))
    assert "No silence was made." in answer
    assert nobody in answer
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("matchers", "tenant", "line 1:"),
        ("matchers", 'tenant="beta"', "would not silence this alert"),
        ("matchers", 'nowhere=""', "hold for every alert"),
        ("matchers", "", "This field is required"),
        ("matchers", 'tenant=~"("', "no regular expression"),
        ("duration", "soon", "Write a length such as 30m"),
        ("duration", "91d", "at most 90d"),
        ("duration", "0m", "At least 1m"),
        ("comment", "", "This field is required"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_silenced(
    nobody: str, operator: Client, alert: Alert, field: str, value: str, words: str
) -> None:
    answer = silence(operator, alert, **{field: value})
    assert words in " ".join(answer.context["form"].errors[field])
    assert not AuditEntry.objects.exists()


def test_a_viewer_may_neither_make_nor_end_one(nobody: str, alert: Alert) -> None:
    viewer = member("viewer")
    assert viewer.get(page(alert)).status_code == 403
    assert viewer.post(page(alert), {}).status_code == 403
    assert viewer.post(f"{page(alert)}expire/", {"silence": "x"}).status_code == 403


def test_a_link_ends_no_silence(nobody: str, operator: Client, alert: Alert) -> None:
    assert operator.get(f"{page(alert)}expire/?silence=x").status_code == 405


def test_an_alert_that_is_not_there_has_no_silences(nobody: str, operator: Client) -> None:
    assert operator.get("/admin/userdb/alert/999/silences/").status_code == 404
