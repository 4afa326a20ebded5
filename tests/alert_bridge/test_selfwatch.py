"""What the bridge says of itself: one alert like any other, opened once, repeated, ended; on both databases."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connections

from alert_bridge import conditions, own_alerts, selfwatch
from alert_bridge.conditions import Condition, Sign
from alert_bridge.own_alerts import Finding
from alert_bridge.readings import Readings
from alert_bridge.selfwatch import SelfWatch
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing
from userdb import clock
from userdb.models import (
    Alert,
    AlertIdentity,
    AlertmanagerPeer,
    AlertTransition,
    Channel,
    DeliveryAttempt,
    Notification,
)
from userdb.transactions import UserdbAway

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

TROUBLE = Finding("ChannelDead", "critical", "nothing reaches chat", "all tries failed", {"channel": "chat"})


@pytest.fixture(autouse=True)
def _told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFWATCH_CLEAR", "0")


def ago(**length: float) -> object:
    return clock.now() - timedelta(**length)


def open_names() -> list[str]:
    rows = AlertIdentity.objects.filter(state="firing", origin="bridge")
    return sorted(rows.values_list("alertname", flat=True))


def kinds() -> list[tuple[str, str]]:
    return [(n.channel.name, n.kind) for n in Notification.objects.order_by("id").select_related("channel")]


def a_watch(*found: bool) -> SelfWatch:
    """Return a watch of one condition that holds in the rounds that say so."""
    turns = iter(found)

    def signs(readings: Readings) -> Iterator[Sign]:
        if next(turns):
            yield Sign(TROUBLE.summary, TROUBLE.description, TROUBLE.labels)

    return SelfWatch((Condition("ChannelDead", "critical", signs),))


def test_a_trouble_is_an_alert_that_is_owed_to_those_who_want_it(mail: Channel, hook: Channel) -> None:
    Channel.objects.create(name="others", kind="email", matchers='severity="warning"')
    a_watch(True).step()
    alert = Alert.objects.get()
    identity = alert.identity
    assert (identity.alertname, identity.severity, identity.origin) == ("ChannelDead", "critical", "bridge")
    assert identity.labels == {
        "alertname": "ChannelDead",
        "severity": "critical",
        "job": "alert-bridge",
        "channel": "chat",
    }
    assert alert.annotations["runbook_url"].endswith("/docs/runbooks/ChannelDead.md")
    assert (alert.annotations["summary"], alert.first_webhook) == ("nothing reaches chat", None)
    assert AlertTransition.objects.get().source == "bridge"
    assert kinds() == [("mail", "firing"), ("hook", "firing")]


def test_its_end_is_told_to_those_who_were_told(mail: Channel) -> None:
    watch = a_watch(True, False)
    watch.step()
    watch.step()
    alert = Alert.objects.get()
    assert (alert.state, alert.closed_by) == ("resolved", "bridge")
    assert alert.ends_at is not None
    assert alert.ends_at >= alert.starts_at
    assert kinds() == [("mail", "firing"), ("mail", "resolved")]


def test_said_again_while_it_is_open_it_is_no_new_episode(mail: Channel) -> None:
    watch = a_watch(True, True, True)
    for _ in range(3):
        watch.step()
    assert (Alert.objects.count(), AlertTransition.objects.count()) == (1, 1)
    assert kinds() == [("mail", "firing")]


def test_it_returns_as_a_new_episode(mail: Channel) -> None:
    watch = a_watch(True, False, True)
    for _ in range(3):
        watch.step()
    assert [(a.number, a.state) for a in Alert.objects.order_by("number")] == [(1, "resolved"), (2, "firing")]


def test_it_is_repeated_when_the_channel_was_told_long_enough_ago(mail: Channel) -> None:
    watch = a_watch(True, True)
    watch.step()
    Notification.objects.update(state="delivered", created_at=ago(hours=4))
    watch.step()
    assert kinds() == [("mail", "firing"), ("mail", "repeat")]


def test_it_ends_only_when_it_has_been_gone_for_a_while(mail: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFWATCH_CLEAR", "60")
    watch = a_watch(True, False, False)
    watch.step()
    watch.step()
    assert open_names() == ["ChannelDead"]
    AlertIdentity.objects.update(heard_at=ago(seconds=61))
    watch.step()
    assert open_names() == []


def test_what_another_process_still_says_is_not_ended(mail: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFWATCH_CLEAR", "60")
    own_alerts.say(TROUBLE)
    AlertIdentity.objects.update(heard_at=ago(seconds=61))
    own_alerts.say(TROUBLE)
    a_watch(False).step()
    assert open_names() == ["ChannelDead"]


def test_what_this_process_does_not_watch_it_does_not_end(mail: Channel) -> None:
    own_alerts.say(Finding("WebhookStorm", "error", "s", "d"))
    SelfWatch().step()
    assert open_names() == ["WebhookStorm"]


def test_a_trouble_has_to_hold_for_as_long_as_its_condition_says(mail: Channel) -> None:
    def signs(readings: Readings) -> Iterator[Sign]:
        yield Sign("slow", "slow")

    SelfWatch((Condition("UserdbSlow", "warning", signs, timedelta(minutes=1)),)).step()
    assert open_names() == []


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_two_processes_at_once_open_one_episode(mail: Channel) -> None:
    barrier, opened = threading.Barrier(4), list[bool]()

    def say() -> None:
        try:
            barrier.wait(10)
            opened.append(own_alerts.say(TROUBLE))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=say) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(opened) == [False, False, False, True]
    assert (Alert.objects.count(), kinds()) == (1, [("mail", "firing")])


def test_a_clock_that_went_back_opens_the_next_episode_after_the_last_one(mail: Channel) -> None:
    own_alerts.say(TROUBLE)
    own_alerts.end(TROUBLE.fingerprint, timedelta(0))
    Alert.objects.update(starts_at=ago(hours=-1), highest_start=ago(hours=-1))
    AlertIdentity.objects.update(last_start=ago(hours=-1))
    assert own_alerts.say(TROUBLE)
    assert [a.number for a in Alert.objects.order_by("starts_at")] == [1, 2]


def test_watchdog_that_stays_away_is_told_and_its_return_too(post: Post, mail: Channel) -> None:
    watch = SelfWatch()
    watch.step()
    watch._since = clock.now() - timedelta(minutes=6)
    watch.step()
    assert open_names() == ["WatchdogMissing"]
    post(firing("dead", alertname="Watchdog", severity="none"))
    watch.step()
    assert open_names() == []


def test_watchdog_that_repeats_is_heard_each_time(post: Post, mail: Channel) -> None:
    for _ in range(2):
        post(firing("dead", alertname="Watchdog", severity="none"))
        heard = AlertIdentity.objects.get(alertname="Watchdog").heard_at
        assert heard is not None
        assert clock.now() - heard < timedelta(seconds=10)
        AlertIdentity.objects.update(heard_at=ago(minutes=6))


def test_other_alerts_are_no_watchdog(post: Post, mail: Channel) -> None:
    post(firing())
    assert AlertIdentity.objects.get().heard_at is None


def test_nobody_waits_for_a_watchdog_where_there_is_none(mail: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_TIMEOUT", "0")
    watch = SelfWatch()
    watch.step()
    watch._since = clock.now() - timedelta(days=1)
    watch.step()
    assert open_names() == []


@pytest.mark.parametrize(
    ("answered", "asked", "told"),
    [(3.0, 0.1, ["AlertmanagerSilent"]), (1.0, 0.1, []), (60.0, 30.0, [])],
    ids=["silent", "for a moment", "no longer asked"],
)
def test_an_alertmanager_that_does_not_answer_is_named(
    mail: Channel, answered: float, asked: float, told: list[str]
) -> None:
    url = "http://10.0.0.7:9093"
    AlertmanagerPeer.objects.create(
        url=url, error="no connection", asked_at=ago(minutes=asked), answered_at=ago(minutes=answered)
    )
    watch = SelfWatch()
    watch._since = clock.now() - timedelta(minutes=4)
    watch.step()
    assert open_names() == told
    assert not told or AlertIdentity.objects.get().labels["alertmanager"] == url


def test_alerts_that_were_never_sent_are_told(mail: Channel) -> None:
    seen = Readings(clock.now(), clock.now(), unsent=2)
    (unsent,) = [c for c in conditions.ALL if c.alertname == "AlertsNotSent"]
    assert [f.summary for f in unsent.find(seen)] == ["alerts fire that Alertmanager never sent: 2"]


def owed(channel: Channel, minutes: float, **fields: object) -> Notification:
    """Owe one, due so many minutes ago."""
    identity, _ = AlertIdentity.objects.get_or_create(fingerprint="f" * 16)
    values = {"kind": "firing", "due_at": ago(minutes=minutes), "first_due_at": ago(minutes=minutes)} | fields
    key = f"k{Notification.objects.count()}"
    return Notification.objects.create(key=key, channel=channel, identity=identity, **values)


def tried(notification: Notification, minutes: float) -> None:
    DeliveryAttempt.objects.create(notification=notification, number=1, relay="r", started_at=ago(minutes=minutes))


def test_a_channel_that_nothing_reaches_is_told_to_the_others_and_to_itself(mail: Channel, hook: Channel) -> None:
    tried(owed(mail, 11, attempts=3, reason="connection"), 0)
    SelfWatch().step()
    assert open_names() == ["ChannelDead"]
    assert AlertIdentity.objects.get(origin="bridge").labels["channel"] == "mail"
    assert {("hook", "firing"), ("mail", "firing")} <= set(kinds())


@pytest.mark.parametrize(
    "fields",
    [{"attempts": 3, "minutes": 9}, {"attempts": 0, "minutes": 1}, {"attempts": 24, "minutes": 180, "state": "dead"}],
    ids=["failing for less than ten minutes", "not tried yet", "died long ago"],
)
def test_a_channel_is_not_dead_for_less(mail: Channel, fields: dict[str, object]) -> None:
    tried(owed(mail, **fields), 0)  # type: ignore[arg-type]
    SelfWatch().step()
    assert open_names() == []


def test_a_channel_that_refuses_everything_for_good_is_dead_at_once(mail: Channel) -> None:
    tried(owed(mail, 1, state="dead", attempts=1, reason="rejected"), 1)
    SelfWatch().step()
    assert open_names() == ["ChannelDead"]


def test_a_channel_that_takes_other_messages_is_not_dead(mail: Channel) -> None:
    tried(owed(mail, 20, attempts=5, reason="connection"), 0)
    owed(mail, 2, state="delivered", delivered_at=ago(minutes=1))
    SelfWatch().step()
    assert open_names() == []


def test_the_troubles_of_a_channel_that_is_off_are_none(mail: Channel) -> None:
    tried(owed(mail, 20, attempts=5), 0)
    Channel.objects.update(enabled=False)
    SelfWatch().step()
    assert open_names() == []


def test_a_relay_that_is_gone_is_told_when_something_is_due(mail: Channel) -> None:
    owed(mail, 3)
    SelfWatch().step()
    assert open_names() == ["RelayGone"]


def test_messages_that_are_not_due_yet_miss_no_relay(mail: Channel) -> None:
    owed(mail, -60)
    SelfWatch().step()
    assert open_names() == []


def test_a_message_that_waits_untried_while_others_are_sent_is_told(mail: Channel) -> None:
    owed(mail, 6)
    tried(owed(mail, 1, state="delivered"), 0.5)
    SelfWatch().step()
    assert open_names() == ["OutboxStuck"]


def test_what_waits_behind_a_failing_message_is_the_channels_trouble(mail: Channel) -> None:
    tried(owed(mail, 9, attempts=2), 0.5)
    owed(mail, 6)
    SelfWatch().step()
    assert open_names() == []


def test_a_userdb_that_is_slow_to_commit_is_told(mail: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERDB_SLOW", "0.01")
    seen = Readings(clock.now(), clock.now(), probe_seconds=0.02)
    (slow,) = [c for c in conditions.ALL if c.alertname == "UserdbSlow"]
    assert [f.alertname for f in slow.find(seen)] == ["UserdbSlow"]
    monkeypatch.setenv("USERDB_SLOW", "0.03")
    assert slow.find(seen) == []


@pytest.mark.parametrize(("reason", "alertname"), [("storm", "WebhookStorm"), ("unauthorized", "WebhookTokenRefused")])
def test_webhooks_that_are_refused_again_and_again_are_told(mail: Channel, reason: str, alertname: str) -> None:
    counts = {reason: 2}
    watch = SelfWatch(conditions.ALL, lambda: counts)
    watch.step()
    assert open_names() == []
    counts[reason] = 3
    watch.step()
    assert open_names() == [alertname]


def test_a_chain_that_is_well_says_nothing_and_leaves_no_row(post: Post, mail: Channel) -> None:
    post(firing("dead", alertname="Watchdog", severity="none"))
    SelfWatch(conditions.ALL).step()
    assert (open_names(), AlertmanagerPeer.objects.count(), Notification.objects.count()) == ([], 0, 0)


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_watch_that_sees_again_does_not_miss_what_nobody_could_hear(mail: Channel) -> None:
    away = [False, True, False]

    def refusals() -> dict[str, int]:
        if away.pop(0):
            raise UserdbAway("userdb: gone")
        return {}

    watch = SelfWatch(refusals=refusals)
    watch.step()
    watch._since = clock.now() - timedelta(minutes=6)
    watch.step()
    watch.step()
    assert (open_names(), away) == ([], [])


def test_what_is_wrong_is_a_metric(mail: Channel) -> None:
    a_watch(True).step()
    (family,) = selfwatch.FOUND.collect()
    assert {s.labels["alertname"]: s.value for s in family.samples}["ChannelDead"] == 1.0
    a_watch(False).step()
    (family,) = selfwatch.FOUND.collect()
    assert {s.labels["alertname"]: s.value for s in family.samples}["ChannelDead"] == 0.0


def test_no_fingerprint_of_an_alertmanager_is_one_of_ours() -> None:
    assert TROUBLE.fingerprint.startswith("bridge-")
    assert len(TROUBLE.fingerprint) <= 64
    assert TROUBLE.fingerprint != Finding("ChannelDead", "critical", "s", "d", {"channel": "mail"}).fingerprint
