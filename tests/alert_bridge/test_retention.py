"""What grows old goes, class by class; what fires, what is owed and what is young stays; on both databases."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from alert_bridge import expiry, retention
from alert_bridge.retention import Retention
from runtime.settings import SettingsError
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import (
    Acknowledgement,
    Alert,
    AlertIdentity,
    AlertTransition,
    AuditEntry,
    Channel,
    ContainerUsage,
    DeliveryAttempt,
    MonitorEvent,
    Notification,
    RequestRollup,
    WebhookEvent,
)
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

DAY = timedelta(days=1)
OF_ALERTS = (Alert, AlertTransition, Notification, DeliveryAttempt, Acknowledgement)


def kept(**ages: timedelta | None) -> Retention:
    """Return a retention that keeps everything but what is named: webhooks=DAY."""
    known = dict.fromkeys(retention.settings())
    return Retention(known | ages)


def older(model: Any, by: timedelta, *columns: str) -> None:
    model.objects.update(**{column: F(column) - by for column in columns})


def old_episode(post: Post, by: timedelta = 10 * DAY) -> None:
    """Store one episode of `a1`, told by one message with one try, acknowledged, all of it so long ago."""
    post(firing())
    post(resolved())
    for notification in Notification.objects.filter(state="owed"):
        DeliveryAttempt.objects.create(notification=notification, number=1, relay="r", outcome="delivered", answer="")
    Notification.objects.update(state="delivered")
    Acknowledgement.objects.create(alert=Alert.objects.get(identity="a1"), by="alice", note="mine")
    grown_old(by)


def grown_old(by: timedelta) -> None:
    older(Alert, by, "created_at", "updated_at")
    older(Notification, by, "created_at", "due_at", "first_due_at", "cause_at")
    older(DeliveryAttempt, by, "started_at")
    older(AlertTransition, by, "at")
    older(AlertIdentity, by, "updated_at")
    older(WebhookEvent, by, "received_at")


def rows() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in (*OF_ALERTS, AlertIdentity, WebhookEvent)}


# webhooks


def test_old_webhooks_go_and_what_they_brought_stays(post: Post, mail: Channel) -> None:
    old_episode(post)
    post(firing("b2"))
    assert kept(webhooks=DAY).once()["webhooks"] == 2
    assert WebhookEvent.objects.count() == 1
    assert list(AlertTransition.objects.filter(identity="a1").values_list("webhook", flat=True)) == [None, None]
    assert Alert.objects.get(identity="a1").first_webhook is None
    assert AlertTransition.objects.get(identity="b2").webhook is not None


def test_a_webhook_with_many_changes_is_forgotten_in_small_transactions(post: Post) -> None:
    post(*(firing(f"{i:x}") for i in range(250)))
    grown_old(10 * DAY)
    with CaptureQueriesContext(connections[alias()]) as captured:
        kept(webhooks=DAY).once()
    assert not WebhookEvent.objects.exists()
    updates = [q["sql"] for q in captured.captured_queries if q["sql"].startswith("UPDATE")]
    assert len(updates) >= 6
    assert max(sql.count(",") for sql in updates) <= expiry.ROWS + 5


# episodes


def test_an_old_episode_goes_with_all_that_belongs_to_it(post: Post, mail: Channel) -> None:
    old_episode(post)
    done = kept(alerts=DAY).once()
    assert done["alerts"] == 8
    assert {name: count for name, count in rows().items() if count} == {"AlertIdentity": 1, "WebhookEvent": 2}


def test_a_firing_episode_never_goes(post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(state="delivered")
    grown_old(2000 * DAY)
    assert kept(alerts=DAY).once()["alerts"] == 0
    assert Alert.objects.count() == 1


@pytest.mark.parametrize("state", ["owed", "sending", "unconfirmed"])
def test_an_episode_of_which_something_is_owed_stays(post: Post, mail: Channel, state: str) -> None:
    old_episode(post, 2000 * DAY)
    Notification.objects.filter(kind="resolved").update(state=state)
    before = rows()
    assert kept(alerts=DAY, attempts=DAY).once()["alerts"] == 0
    after = rows()
    assert after == before | {"DeliveryAttempt": 1}  # the owed one's try stays, that of the delivered one goes


def test_a_young_episode_of_an_old_identity_stays(post: Post, mail: Channel) -> None:
    old_episode(post)
    post(firing(start=100))
    post(resolved(start=100, end=160))
    kept(alerts=DAY).once()
    assert [alert.number for alert in Alert.objects.all()] == [2]


def test_an_episode_that_ended_lately_stays_however_long_ago_it_began(post: Post) -> None:
    post(firing())
    grown_old(10 * DAY)
    post(resolved())
    assert kept(alerts=DAY).once()["alerts"] == 0


def test_a_young_episode_before_old_ones_hides_none(post: Post, mail: Channel) -> None:
    post(firing("first"))
    old_episode(post)
    post(resolved("first"))
    kept(alerts=DAY).once()
    assert [alert.identity_id for alert in Alert.objects.all()] == ["first"]


def test_a_monster_goes_a_hundred_rows_a_transaction(post: Post, mail: Channel) -> None:
    post(*(word for i in range(150) for word in (firing(start=i), resolved(start=i, end=i + 0.5))))
    Notification.objects.update(state="delivered")
    total = Alert.objects.count() + AlertTransition.objects.count() + Notification.objects.count()
    grown_old(10 * DAY)
    (episodes,) = (each for each in expiry.classes() if each.name == "alerts")
    steps = list(episodes.delete(clock.now() - DAY))
    assert sum(steps) == total
    assert max(steps) == expiry.ROWS
    assert not Alert.objects.exists()


def test_stopped_after_any_transaction_it_goes_on_where_it_was(post: Post, mail: Channel) -> None:
    post(*(firing(f"{i:x}") for i in range(90)))
    post(*(resolved(f"{i:x}") for i in range(90)))
    Notification.objects.update(state="delivered")
    grown_old(10 * DAY)
    (episodes,) = (each for each in expiry.classes() if each.name == "alerts")
    for number in range(20):
        next(episodes.delete(clock.now() - DAY), 0)
        post(firing("young", start=number))  # intake goes on meanwhile
    assert [alert.identity_id for alert in Alert.objects.filter(state="firing")] == ["young"]
    assert not Alert.objects.exclude(identity="young").exists()
    assert not Notification.objects.exclude(identity="young").exists()


def test_an_alert_that_returns_after_its_episode_went_has_a_new_row(post: Post, mail: Channel) -> None:
    old_episode(post)
    kept(alerts=DAY).once()
    post(firing())
    assert [(a.number, a.state) for a in Alert.objects.all()] == [(2, "firing")]
    assert AlertTransition.objects.get().kind == "refired"


def test_an_old_digest_goes_after_its_members(post: Post, mail: Channel) -> None:
    old_episode(post)
    digest = Notification.objects.create(key="digest", channel=mail, kind="digest", state="delivered")
    DeliveryAttempt.objects.create(notification=digest, number=1, relay="r", outcome="delivered", answer="")
    Notification.objects.filter(kind="firing").update(digest=digest, state="in_digest")
    older(Notification, 10 * DAY, "created_at")
    done = kept(alerts=DAY).once()
    assert done["digests"] == 2
    assert not Notification.objects.exists()


# identities


def test_an_identity_stays_30_days_after_its_last_episode_was_deleted(post: Post, mail: Channel) -> None:
    old_episode(post, 400 * DAY)
    kept(alerts=DAY).once()
    assert kept().once()["identities"] == 0
    older(AlertIdentity, 29 * DAY, "updated_at")
    assert kept().once()["identities"] == 0
    older(AlertIdentity, DAY, "updated_at")
    assert kept().once()["identities"] == 1


def test_an_identity_with_an_episode_stays(post: Post) -> None:
    post(resolved())
    grown_old(400 * DAY)
    assert kept().once()["identities"] == 0


# the rest


def test_old_tries_go_and_their_messages_stay(post: Post, mail: Channel) -> None:
    old_episode(post)
    assert kept(attempts=DAY).once()["attempts"] == 2
    assert Notification.objects.count() == 2


def test_events_minutes_audit_sessions_and_logins_go_by_their_own_ages(settings: Any) -> None:
    now = clock.now()
    for ago in (0, 10):
        MonitorEvent.objects.create(event_type="custom", message="m", received_at=now - ago * DAY)
        RequestRollup.objects.create(tenant="a", minute=now - ago * DAY, outcome="success", instance="i")
        ContainerUsage.objects.create(
            tenant="a", minute=now - ago * DAY, namespace="n", pod="p", container="c", cpu_cores=1, memory_bytes=1
        )
        AuditEntry.objects.create(by="alice", action="add", kind="channel", object_id="1", name="x", at=now - ago * DAY)
    done = kept(events=DAY, minutes=2 * DAY, audit=30 * DAY).once()
    assert {name: count for name, count in done.items() if count} == {"events": 1, "minutes": 2}
    assert kept(audit=5 * DAY).once()["audit"] == 1


def test_an_ended_session_goes_at_once_and_an_old_login_in_time(vendor: str) -> None:
    from axes.models import AccessAttempt
    from django.contrib.sessions.models import Session

    now = clock.now()
    for number, left in enumerate((-DAY, DAY)):
        Session.objects.create(session_key=f"k{number}", session_data="", expire_date=now + left)
    attempt = AccessAttempt.objects.create(
        username="eve", ip_address="10.0.0.1", user_agent="", http_accept="", path_info="/", get_data="", post_data="",
        failures_since_start=1,
    )  # fmt: skip
    AccessAttempt.objects.filter(pk=attempt.pk).update(attempt_time=now - 10 * DAY)
    done = kept(logins=DAY).once()
    assert (done["sessions"], done["logins"]) == (1, 1)
    assert Session.objects.get().session_key == "k1"


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_a_class_that_userdb_refuses_to_delete_holds_up_no_other(vendor: str) -> None:
    now = clock.now()
    event = MonitorEvent.objects.create(event_type="custom", message="m", received_at=now - 10 * DAY)
    RequestRollup.objects.create(tenant="a", minute=now - 10 * DAY, outcome="success", instance="i")
    with connections[alias()].cursor() as cursor:
        try:
            cursor.execute(
                "CREATE TABLE somebodys (event BIGINT, FOREIGN KEY (event) REFERENCES userdb_monitorevent (id))"
            )
            cursor.execute("INSERT INTO somebodys VALUES (%s)", [event.pk])
            with pytest.raises(IntegrityError):
                kept(events=DAY, minutes=DAY).once()
        finally:
            cursor.execute("DROP TABLE somebodys")
    assert (MonitorEvent.objects.count(), RequestRollup.objects.count()) == (1, 0)


def test_more_than_a_hundred_rows_go_in_more_than_one_transaction() -> None:
    now = clock.now()
    MonitorEvent.objects.bulk_create(
        MonitorEvent(event_type="custom", message="m", received_at=now - 10 * DAY) for _ in range(250)
    )
    (events,) = (each for each in expiry.classes() if each.name == "events")
    assert list(events.delete(now - DAY)) == [100, 100, 50]


def test_what_is_kept_for_ever_stays(post: Post) -> None:
    old_episode(post, 5000 * DAY)
    before = rows()
    kept().once()
    assert rows() == before


# dry run, settings, loop


def test_a_dry_run_counts_what_goes_and_deletes_nothing(post: Post, mail: Channel) -> None:
    old_episode(post)
    post(firing("b2"))
    before = rows()
    worker = kept(webhooks=DAY, alerts=DAY, attempts=DAY, events=DAY)
    foretold = worker.foretell()
    assert rows() == before
    assert {name: count for name, count in foretold.items() if count} == {"webhooks": 2, "attempts": 2, "alerts": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "RETENTION_ALERTS: 'soon' is no duration such as 30s, 5m, 24h or 90d, nor never"),
        ("23h", "RETENTION_ALERTS: 23h is less than a day"),
        ("0", "RETENTION_ALERTS: 0 is less than a day"),
        ("-5d", "RETENTION_ALERTS: '-5d' is no duration such as 30s, 5m, 24h or 90d, nor never"),
    ],
)
def test_an_age_that_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.setenv("RETENTION_ALERTS", text)
    with pytest.raises(SettingsError) as error:
        retention.settings()
    assert str(error.value) == message


def test_the_ages_are_the_variables_or_safe_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETENTION_AUDIT", "never")
    monkeypatch.setenv("RETENTION_EVENTS", "7d")
    ages = retention.settings()
    assert (ages["audit"], ages["events"]) == (None, 7 * DAY)
    assert (ages["webhooks"], ages["alerts"]) == (30 * DAY, 365 * DAY)


def test_told_to_stop_it_stops_after_the_transaction_under_way() -> None:
    now = clock.now()
    MonitorEvent.objects.bulk_create(
        MonitorEvent(event_type="custom", message="m", received_at=now - 10 * DAY) for _ in range(150)
    )
    worker = kept(events=DAY)
    worker.stop = threading.Event()
    worker.stop.set()
    assert worker.once()["events"] == 100


def test_every_class_has_a_counter_from_the_start() -> None:
    assert {each.name for each in expiry.classes()} == set(retention.NAMES)


def test_userdb_stays_within_its_bound_while_webhooks_stream_in(post: Post, mail: Channel) -> None:
    """Twelve days with three kept: the rows settle at three days' worth and grow no more."""
    worker, seen = kept(webhooks=3 * DAY, alerts=3 * DAY, attempts=3 * DAY), []
    for day in range(12):
        post(*(firing(f"{i}", start=day * 100 + i) for i in range(20)))
        post(*(resolved(f"{i}", start=day * 100 + i, end=day * 100 + 90) for i in range(20)))
        Notification.objects.update(state="delivered")
        worker.once()
        seen.append(sum(rows().values()))
        grown_old(DAY)
    assert seen[5] == seen[-1] == max(seen)
    assert Alert.objects.filter(updated_at__lt=clock.now() - 4 * DAY).count() == 0
