"""What fires and was never sent to us: stored, marked, counted, told with its first webhook. Grace and age are 0 here."""

from collections.abc import Callable

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from alert_bridge import claims
from alert_bridge.channels.base import Receipt
from alert_bridge.reconcile import Reconcile
from tests.alert_bridge.alertmanagers import Lister
from tests.alert_bridge.alertmanagers import listed as entry
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import at, firing, resolved, webhook
from userdb.models import Alert, AlertIdentity, AlertTransition, Channel, Notification
from userdb.unsent import unsent_alerts

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

Rounds = Callable[[int], Reconcile]


def kinds() -> list[str]:
    return list(AlertTransition.objects.order_by("id").values_list("kind", flat=True))


def owed() -> list[tuple[int, str, str]]:
    rows = Notification.objects.order_by("id")
    return [(n.alert.number, n.kind, n.state) for n in rows if n.alert]


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_an_alert_that_was_never_sent_is_stored_and_told_with_its_first_webhook(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    server.alerts = [entry("a1", at(0))]
    rounds(2)
    alert = Alert.objects.get()
    assert (alert.state, alert.first_webhook, alert.annotations) == ("firing", None, {"summary": "it fails"})
    assert (alert.identity.alertname, alert.identity.tenant) == ("SimulationFailing", "alpha")
    assert (kinds(), owed()) == (["firing"], [])
    assert list(unsent_alerts()) == [alert]
    assert metric("mission_reconcile_unsent_alerts") == 1
    assert post(firing()).json()["changes"] == 0
    assert owed() == [(1, "firing", "owed")]
    alert.refresh_from_db()
    assert alert.first_webhook is not None
    rounds(1)
    assert metric("mission_reconcile_unsent_alerts") == 0


def test_an_alert_that_was_never_sent_and_ends_is_closed_and_told_to_nobody(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    server.alerts = [entry("a1", at(0))]
    rounds(2)
    server.alerts = []
    rounds(2)
    assert (kinds(), owed()) == (["firing", "resolved"], [])
    assert not unsent_alerts().exists()


def test_a_silenced_alert_that_was_never_sent_is_stored_with_its_mark_and_is_no_fault(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    server.alerts = [entry("a1", at(0), "suppressed", silenced_by=["s-1"])]
    rounds(2)
    identity = AlertIdentity.objects.get()
    assert (identity.suppression, identity.suppressed_by) == ("silenced", ["s-1"])
    assert not unsent_alerts().exists()
    server.alerts = [entry("a1", at(0))]
    rounds(1)
    assert unsent_alerts().count() == 1


def test_an_alert_that_is_listed_after_its_end_is_a_return_that_was_never_sent(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing())
    post(resolved())
    server.alerts = [entry("a1", at(0))]
    rounds(2)
    assert kinds() == ["firing", "resolved", "refired"]
    assert [n[1] for n in owed()] == ["firing", "resolved"]
    assert unsent_alerts().count() == 1
    post(firing())
    assert owed()[-1] == (1, "firing", "owed")
    assert not unsent_alerts().exists()


def test_what_is_owed_of_an_earlier_episode_stays_owed_when_the_next_is_found(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing())
    post(resolved())
    server.alerts = [entry("a1", at(100), "suppressed", silenced_by=["s-1"])]
    rounds(2)
    assert kinds() == ["firing", "resolved", "firing"]
    assert owed() == [(1, "firing", "owed"), (1, "resolved", "owed")]
    for _ in range(2):
        (claim,) = claims.take(mail.pk)
        start = claims.start(claim, "a relay")
        assert start is not None
        claims.delivered(start, Receipt("250", "OK"), 1)
    assert [state for _, _, state in owed()] == ["delivered", "delivered"]


@pytest.mark.parametrize(
    ("variable", "seen", "receiver", "found"),
    [
        ("", None, "alert-bridge", 1),
        ("", None, "mail", 0),
        ("", "to-the-bridge", "to-the-bridge", 1),
        ("", "to-the-bridge", "alert-bridge", 0),
        ("one,two", "to-the-bridge", "two", 1),
        ("one,two", "to-the-bridge", "to-the-bridge", 0),
    ],
)
def test_which_alerts_are_ours_their_receiver_says(
    post: Post, server: Lister, rounds: Rounds, monkeypatch: pytest.MonkeyPatch, variable: str, seen: str | None,
    receiver: str, found: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("ALERTMANAGER_RECEIVER", variable)
    if seen:
        post(body=webhook(receiver=seen))
    server.alerts = [entry("a1", at(0), receivers=[{"name": receiver}, {"name": "pager"}])]
    rounds(2)
    assert Alert.objects.count() == found


def test_the_list_of_alerts_can_be_narrowed_to_what_alertmanager_says_of_them(
    admin_client: Client, server: Lister, rounds: Rounds
) -> None:
    server.alerts = [
        entry("a1", at(0), labels={"alertname": "NobodySentIt"}),
        entry("b2", at(0), "suppressed", silenced_by=["s-1"], labels={"alertname": "IsSilenced"}),
        entry("c3", at(0), "suppressed", inhibited_by=["a1"], labels={"alertname": "IsInhibited"}),
    ]
    rounds(2)
    names = {"never sent": "NobodySentIt", "silenced": "IsSilenced", "inhibited": "IsInhibited"}
    for word, name in names.items():
        page = admin_client.get("/admin/userdb/alert/", {"listed": word}).content.decode()
        assert {other for other in names.values() if f">{other}<" in page} == {name}
