"""Rounds of reconciliation on both databases, with Alertmanagers that list what a test tells them.

The grace is 0 here: two rounds are enough. How long something has to last is tested in test_comparison.py.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from prometheus_client import REGISTRY

from alert_bridge import corrections
from alert_bridge.comparison import Mark
from alert_bridge.reconcile import Reconcile, open_alerts
from runtime.settings import SettingsError
from tests.alert_bridge.alertmanagers import Lister, lister
from tests.alert_bridge.alertmanagers import listed as entry
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import status
from tests.alert_bridge.words import at, firing, resolved
from userdb.models import Alert, AlertIdentity, AlertmanagerPeer, AlertTransition, Channel, Notification
from userdb.unsent import unsent_alerts

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THREADS = pytest.mark.django_db(transaction=True, databases="__all__")


Rounds = Callable[[int], Reconcile]


def kinds() -> list[str]:
    return list(AlertTransition.objects.order_by("id").values_list("kind", flat=True))


def owed() -> list[tuple[int, str, str]]:
    rows = Notification.objects.order_by("id")
    return [(n.alert.number, n.kind, n.state) for n in rows if n.alert]


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_an_alert_that_ended_unheard_is_closed_and_its_end_is_owed(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing())
    rounds(1)
    assert kinds() == ["firing"]
    rounds(1)
    alert = Alert.objects.get()
    assert (alert.state, alert.closed_by, alert.ends_at) == ("resolved", "reconciliation", None)
    transition = AlertTransition.objects.latest("id")
    assert (transition.kind, transition.source, transition.webhook) == ("resolved", "reconciliation", None)
    identity = AlertIdentity.objects.get()
    assert (identity.state, identity.version) == ("resolved", 2)
    assert owed() == [(1, "firing", "owed"), (1, "resolved", "owed")]


def test_the_end_that_comes_after_all_becomes_known_and_is_told_to_nobody_again(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing())
    rounds(2)
    post(resolved())
    post(resolved(end=70))
    assert kinds() == ["firing", "resolved", "end_known"]
    alert = Alert.objects.get()
    assert alert.ends_at is not None
    assert alert.ends_at.isoformat() == "2026-11-24T10:01:00+00:00"
    assert alert.closed_by == "reconciliation"
    assert len(owed()) == 2


def test_the_firing_that_comes_after_all_is_a_return(post: Post, mail: Channel, server: Lister, rounds: Rounds) -> None:
    post(firing())
    rounds(2)
    post(firing())
    assert kinds()[-1] == "refired"
    assert owed()[-1] == (1, "refired", "unconfirmed")


def test_a_return_that_nobody_confirmed_yet_is_closed_without_a_word(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    for word in (firing(), resolved(), firing()):
        post(word)
    rounds(2)
    assert owed() == [(1, "firing", "owed"), (1, "resolved", "owed"), (1, "refired", "void")]


def test_a_channel_without_ends_is_not_owed_this_one(post: Post, mail: Channel, server: Lister, rounds: Rounds) -> None:
    Channel.objects.update(send_resolved=False)
    post(firing())
    rounds(2)
    assert owed() == [(1, "firing", "owed")]


def test_nothing_is_closed_while_one_of_a_pair_does_not_answer_and_readiness_says_how_to_go_on(
    post: Post, mail: Channel, server: Lister, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lister() as other:
        other.fault = status(503, b"busy")
        monkeypatch.setenv("ALERTMANAGER_URL", f"{server.url},{other.url}")
        post(firing())
        worker = rounds(4)
        assert kinds() == ["firing"]
        trouble = worker.peers()
        assert trouble is not None
        assert trouble.startswith(f"{other.url} answers 503: busy. ")
        assert trouble.endswith("take one that is gone for good out of ALERTMANAGER_URL")
        assert metric("mission_alertmanager_up", alertmanager=other.url) == 0
        monkeypatch.setenv("ALERTMANAGER_URL", server.url)
        rounds(2)
        assert kinds() == ["firing", "resolved"]
        assert worker.peers() is None
        assert metric("mission_alertmanager_up", alertmanager=other.url) is None
        assert metric("mission_alertmanager_up", alertmanager=server.url) == 1


def test_nothing_is_closed_while_one_is_young(post: Post, mail: Channel, server: Lister, rounds: Rounds) -> None:
    post(firing())
    server.started = datetime.now(UTC) - timedelta(minutes=4)
    worker = rounds(4)
    assert kinds() == ["firing"]
    assert worker.peers() is None  # it answers: that is no trouble
    server.started -= timedelta(minutes=2)
    rounds(2)
    assert kinds() == ["firing", "resolved"]


def test_what_changes_between_question_and_answer_is_left_alone(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing())
    (known,) = open_alerts()
    post(resolved())
    post(firing())
    assert corrections.close([known]) == 0
    assert kinds() == ["firing", "resolved", "refired"]


def test_the_bridges_own_alerts_are_not_asked_about(post: Post, mail: Channel, server: Lister, rounds: Rounds) -> None:
    post(firing())
    AlertIdentity.objects.update(origin="bridge")
    rounds(3)
    assert kinds() == ["firing"]


def test_a_later_start_closes_the_open_episode_and_the_next_one_is_told(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing())
    server.alerts = [entry("a1", at(100))]
    rounds(2)
    assert kinds() == ["firing", "superseded", "firing"]
    assert set(AlertTransition.objects.filter(version__gt=1).values_list("source", flat=True)) == {"reconciliation"}
    assert owed() == [(1, "firing", "void"), (2, "firing", "owed")]
    assert not unsent_alerts().exists()
    post(resolved(start=100, end=130))
    assert owed()[-1] == (2, "resolved", "owed")


def test_the_webhook_of_a_superseding_episode_changes_nothing_more(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing())
    server.alerts = [entry("a1", at(100))]
    rounds(2)
    answer = post(firing(start=100)).json()
    assert (answer["changes"], answer["notifications"]) == (0, 0)


def test_a_silence_is_marked_and_the_mark_goes_with_it(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing("a1"), firing("b2"))
    server.alerts = [
        entry("a1", at(0), "suppressed", silenced_by=["s-1"]),
        entry("b2", at(0), "suppressed", inhibited_by=["a1"]),
    ]
    rounds(1)
    marks = AlertIdentity.objects.order_by("pk").values_list("suppression", "suppressed_by")
    assert list(marks.all()) == [("silenced", ["s-1"]), ("inhibited", ["a1"])]
    server.alerts[0] = entry("a1", at(0))
    rounds(1)
    assert list(marks.all()) == [("", None), ("inhibited", ["a1"])]
    assert kinds() == ["firing", "firing"]


def test_a_mark_is_written_once(post: Post, mail: Channel, server: Lister, rounds: Rounds) -> None:
    before = metric("mission_reconcile_alerts_total", change="marked") or 0
    post(firing())
    server.alerts = [entry("a1", at(0), "suppressed", silenced_by=["s-1"])]
    rounds(3)
    assert metric("mission_reconcile_alerts_total", change="marked") == before + 1


def test_the_end_of_a_silenced_alert_takes_its_mark_away(
    post: Post, mail: Channel, server: Lister, rounds: Rounds
) -> None:
    post(firing("a1"), firing("b2"))
    server.alerts = [entry(name, at(0), "suppressed", silenced_by=["s-1"]) for name in ("a1", "b2")]
    rounds(1)
    post(resolved("a1"))
    assert set(AlertIdentity.objects.filter(suppressed_by__isnull=True).values_list("pk", "suppression")) == {
        ("a1", "")
    }
    server.alerts = []
    rounds(2)
    assert not AlertIdentity.objects.exclude(suppression="").exists()


def test_a_mark_is_not_written_on_what_has_ended_meanwhile(post: Post, mail: Channel, server: Lister) -> None:
    post(firing())
    post(resolved())
    corrections.mark([Mark("a1", "silenced", ("s-1",))])
    assert AlertIdentity.objects.get().suppression == ""


def test_each_alertmanager_has_a_row_with_its_last_word(
    server: Lister, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.alerts = [entry("a1", at(0)), entry("b2", at(0))]
    rounds(1)
    row = AlertmanagerPeer.objects.get()
    assert (row.url, row.firing, row.error) == (server.url, 2, "")
    assert row.started_at is not None
    assert abs(row.started_at - server.started) < timedelta(seconds=1)
    answered = row.answered_at
    server.fault = status(500, b"out of memory")
    rounds(1)
    row.refresh_from_db()
    assert (row.answered_at, row.firing) == (answered, 2)
    assert row.asked_at > answered
    assert row.error == f"{server.url} answers 500: out of memory"


def test_one_that_is_configured_no_more_has_no_row(
    server: Lister, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    AlertmanagerPeer.objects.create(url="http://gone:9093", error="http://gone:9093 does not answer")
    rounds(1)
    assert list(AlertmanagerPeer.objects.values_list("url", flat=True)) == [server.url]


def test_rounds_are_counted_by_what_they_were(server: Lister, rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted() -> list[float]:
        return [metric("mission_reconcile_rounds_total", result=r) or 0 for r in ("certain", "in_doubt", "failed")]

    before = counted()
    worker = rounds(1)
    last = metric("mission_reconcile_last_success_timestamp_seconds") or 0
    assert time.time() - last < 60
    server.fault = status(503)
    rounds(1)
    monkeypatch.setenv("ALERTMANAGER_URL", "alertmanager")
    rounds(1)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1]
    assert metric("mission_reconcile_last_success_timestamp_seconds") == last
    assert "ALERTMANAGER_URL: write" in str(worker.peers())


def test_readiness_notices_that_the_rounds_have_stopped(server: Lister, rounds: Rounds) -> None:
    worker = rounds(1)
    assert worker.rounds() is None
    worker.last_round -= 1000
    assert str(worker.rounds()).startswith("no round for 100")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RECONCILE_INTERVAL", "0"),
        ("RECONCILE_GRACE", "-1"),
        ("RECONCILE_UNSENT_AFTER", "soon"),
        ("ALERTMANAGER_MIN_UPTIME", "1e9"),
    ],
)
def test_a_wrong_setting_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        Reconcile()


def test_many_alerts_are_written_a_hundred_a_transaction(
    post: Post, mail: Channel, server: Lister, rounds: Rounds, django_assert_max_num_queries: Any
) -> None:
    names = [f"{number:03x}e" for number in range(250)]
    post(*(firing(name) for name in names))
    known = open_alerts()
    from userdb.router import alias

    with django_assert_max_num_queries(3 * 12, using=alias()):
        assert corrections.close(known) == 250
    assert Notification.objects.filter(kind="resolved").count() == 250


@THREADS
def test_two_reconcilers_at_once_close_and_store_each_alert_once(
    post: Post, mail: Channel, server: Lister, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILE_GRACE", "0")
    monkeypatch.setenv("RECONCILE_UNSENT_AFTER", "0")
    post(*(firing(f"{number:03x}e") for number in range(150)))
    server.alerts = [entry(f"{number:03x}f", at(0)) for number in range(150)]
    barrier = threading.Barrier(2)

    def work() -> None:
        worker = Reconcile()
        for _ in range(3):
            barrier.wait(20)
            worker.step()
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(60)
    assert sorted(kinds()) == ["firing"] * 300 + ["resolved"] * 150
    assert Notification.objects.filter(kind="resolved").count() == 150
    assert AlertmanagerPeer.objects.count() == 1
