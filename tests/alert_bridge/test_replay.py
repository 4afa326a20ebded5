"""Stored webhooks applied again: what was never applied, what was set aside, everything; and what must not change."""

import json
import zlib
from argparse import ArgumentTypeError, Namespace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from alert_bridge import replay, replay_command, replay_flags
from alert_bridge.replay import Outcome
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved, webhook
from userdb import clock
from userdb.models import (
    Alert,
    AlertIdentity,
    AlertTransition,
    AuditEntry,
    Channel,
    DeliveryAttempt,
    Notification,
    WebhookEvent,
)

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

PICTURED = (AlertIdentity, Alert, AlertTransition, Notification, WebhookEvent)


def again(everything: bool = False, dry_run: bool = False) -> list[Outcome]:
    return list(replay.run(WebhookEvent.objects.all(), everything, dry_run))


def kinds(outcomes: list[Outcome]) -> list[list[str]]:
    return [[change.kind for change in outcome.changes] for outcome in outcomes]


def picture() -> list[list[dict[str, Any]]]:
    """Return every row that a replay may touch."""
    return [list(model.objects.order_by("pk").values()) for model in PICTURED]


def stored(*alerts: dict[str, Any], aside: tuple[int, ...] = (), ago: timedelta = timedelta(0)) -> WebhookEvent:
    """Make a row as an earlier version left it, which could not read the entries `aside`."""
    body = webhook(*alerts)
    row = WebhookEvent.objects.create(
        body=zlib.compress(body),
        body_bytes=len(body),
        alerts=len(alerts),
        odd=[{"index": index, "reason": "not understood"} for index in aside],
        result="unchanged",
    )
    return aged(row, ago)


def never_read(*alerts: dict[str, Any], ago: timedelta = timedelta(0)) -> WebhookEvent:
    row = stored(*alerts, ago=ago)
    WebhookEvent.objects.filter(pk=row.pk).update(result="unreadable", error="not understood", alerts=0)
    return row


def aged(row: WebhookEvent, ago: timedelta) -> WebhookEvent:
    WebhookEvent.objects.filter(pk=row.pk).update(received_at=clock.now() - ago)
    return row


def forget_alerts() -> None:
    """Empty userdb of all that webhooks brought; the webhooks themselves stay."""
    for model in (DeliveryAttempt, Notification, AlertTransition, Alert, AlertIdentity):
        model.objects.all().delete()


def test_a_webhook_that_was_never_read_is_applied_and_owed_as_news(mail: Channel) -> None:
    row = never_read(firing())
    [outcome] = again()
    assert (outcome.id, kinds([outcome])) == (row.pk, [["firing"]])
    transition = AlertTransition.objects.get()
    assert (transition.source, transition.webhook_id, transition.alert.first_webhook_id) == ("replay", row.pk, row.pk)
    row.refresh_from_db()
    assert (row.result, row.error, row.alerts, row.changes) == ("applied", "", 1, 1)
    assert row.replayed_at is not None
    notification = Notification.objects.get()
    assert (notification.kind, notification.cause_at) == ("firing", row.received_at)


def test_of_a_webhook_only_the_entries_set_aside_are_applied(post: Post) -> None:
    row = stored(firing("a1"), firing("b2"), firing("c3"), aside=(1,))
    assert kinds(again()) == [["firing"]]
    assert AlertIdentity.objects.get().pk == "b2"
    row.refresh_from_db()
    assert (row.odd, row.changes, row.result) == ([], 1, "applied")


def test_what_is_still_odd_or_unreadable_stays_as_it_is(post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2") | {"startsAt": "soon"})
    post(body=b'{"alerts": 5}')
    before = picture()
    odd, unreadable = again()
    assert odd.odd == ["alerts[1]: startsAt: 'soon' is no RFC 3339 time"]
    assert unreadable.error == '"alerts" is no list'
    assert picture() == before


def test_what_was_applied_when_it_came_is_not_even_read(post: Post) -> None:
    post(firing())
    assert again() == []


def test_a_second_replay_changes_nothing(mail: Channel) -> None:
    never_read(firing("a1"), resolved("b2"))
    stored(firing("c3"), aside=(0,))
    again()
    before = picture()
    assert again() == []
    assert kinds(again(everything=True)) == [[], []]
    assert picture() == before


def test_all_webhooks_into_an_emptied_userdb_give_what_was_there(post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2"))
    post(resolved("a1"))
    post(firing("a1", start=100), firing("b2", start=50), resolved("c3"))
    post(firing("a1", start=100))

    def alerts() -> list[Any]:
        return list(
            Alert.objects.order_by("identity", "number").values_list(
                "identity", "number", "state", "starts_at", "highest_start", "ends_at", "closed_by", "first_webhook"
            )
        )

    def transitions() -> list[Any]:
        rows = AlertTransition.objects.order_by("identity", "version")
        return list(rows.values_list("identity", "version", "kind", "webhook", "starts_at", "ends_at"))

    before = alerts(), transitions()
    forget_alerts()
    again(everything=True)
    assert (alerts(), transitions()) == before


def test_all_webhooks_over_an_intact_userdb_change_nothing(post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2"))
    post(firing("a1"))
    post(resolved("a1"))
    post(firing("a1"))
    before = picture()
    assert kinds(again(everything=True)) == [[], [], [], []]
    assert picture() == before


def test_an_old_word_does_not_overrule_a_newer_webhook(post: Post, mail: Channel) -> None:
    never_read(firing("a1"))
    post(resolved("a1"))
    post(firing("a1", start=100))
    before = picture()[:4]
    [outcome] = again()
    assert (outcome.changes, outcome.older) == ([], 1)
    assert picture()[:4] == before


def test_an_old_word_does_not_overrule_what_reconciliation_found_since(post: Post) -> None:
    post(firing("a1"))
    stored(firing("a1"), aside=(0,), ago=timedelta(minutes=5))
    AlertIdentity.objects.update(state="resolved", version=2)
    alert = Alert.objects.get()
    AlertTransition.objects.create(identity_id="a1", alert=alert, version=2, kind="resolved", source="reconciliation")
    Alert.objects.update(state="resolved", closed_by="reconciliation")
    [outcome] = again()
    assert (outcome.changes, outcome.older) == ([], 1)


def test_a_webhook_that_came_after_what_reconciliation_found_is_applied(post: Post) -> None:
    post(firing("a1"))
    AlertIdentity.objects.update(state="resolved", version=2)
    Alert.objects.update(state="resolved", closed_by="reconciliation")
    found = clock.now() - timedelta(minutes=5)
    AlertTransition.objects.create(
        identity_id="a1", alert=Alert.objects.get(), version=2, kind="resolved", source="reconciliation", at=found
    )
    stored(firing("a1"), aside=(0,))
    assert kinds(again()) == [["refired"]]


@pytest.mark.parametrize(
    ("late_after", "ago", "owed"),
    [
        (timedelta(hours=1), timedelta(minutes=59), 1),
        (timedelta(hours=1), timedelta(minutes=61), 0),
        (timedelta(hours=3), timedelta(minutes=61), 1),
        (timedelta(minutes=10), timedelta(minutes=11), 0),
        (None, timedelta(minutes=59), 1),
        (None, timedelta(minutes=61), 0),
    ],
)
def test_only_what_is_younger_than_the_channels_limit_is_owed(
    mail: Channel, late_after: timedelta | None, ago: timedelta, owed: int
) -> None:
    Channel.objects.update(late_after=late_after)
    never_read(firing(), ago=ago)
    assert kinds(again()) == [["firing"]]
    assert Notification.objects.count() == owed


def test_each_channel_has_its_own_limit(mail: Channel, hook: Channel) -> None:
    Channel.objects.filter(pk=hook.pk).update(late_after=timedelta(hours=3))
    never_read(firing(severity="critical"), ago=timedelta(hours=2))
    again()
    assert [notification.channel for notification in Notification.objects.all()] == [hook]


def test_the_end_of_what_was_too_old_to_be_told_is_told_to_nobody(mail: Channel) -> None:
    never_read(firing(), ago=timedelta(hours=2))
    never_read(resolved())
    again()
    assert not Notification.objects.exists()


def test_a_replay_owes_no_repeat(post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(state="delivered", created_at=F("created_at") - timedelta(hours=5))
    stored(firing(), aside=(0,))
    again()
    assert Notification.objects.count() == 1


def test_what_retention_has_deleted_of_the_last_episode_stands_in_a_new_row_as_refired(post: Post) -> None:
    post(firing())
    post(resolved())
    AlertTransition.objects.all().delete()
    Alert.objects.all().delete()
    first = WebhookEvent.objects.order_by("pk").first()
    assert first is not None
    outcomes = list(replay.run(WebhookEvent.objects.filter(pk=first.pk), everything=True))
    assert kinds(outcomes) == [["refired"]]
    assert Alert.objects.get().number == 2


# the dry run


def test_a_dry_run_says_what_a_replay_does_and_writes_nothing(post: Post, mail: Channel) -> None:
    post(firing("d4"))
    never_read(firing("a1"), firing("b2"), firing("d4", start=200))
    stored(resolved("a1"), firing("b2", start=50), resolved("e5", start=10), aside=(0, 1))
    never_read(firing("a1"), resolved("b2"), resolved("d4", start=0, end=30), firing("f6"))
    before = picture()
    foretold = again(dry_run=True)
    assert picture() == before
    assert kinds(foretold)[:2] == [["firing", "firing", "superseded", "firing"], ["resolved", "superseded", "firing"]]
    assert again() == foretold


def test_a_dry_run_of_everything_foretells_an_emptied_userdb(post: Post, mail: Channel) -> None:
    for start in (0, 100, 200):
        post(firing("a1", start=start), firing("b2"))
        post(resolved("a1", start=start, end=start + 50), firing("b2", start=start))
    forget_alerts()
    foretold = again(everything=True, dry_run=True)
    assert not AlertIdentity.objects.exists()
    assert again(everything=True) == foretold


def test_a_dry_run_knows_each_earlier_episode_that_a_late_end_means(post: Post) -> None:
    for start in (0, 100, 200):
        post(firing(start=start))
    never_read(resolved(start=0, end=50))
    never_read(resolved(start=100, end=150))
    foretold = again(dry_run=True)
    assert kinds(foretold) == [["end_known"], ["end_known"]]
    assert again() == foretold


def test_a_dry_run_sees_no_repeat_of_what_it_has_foretold(mail: Channel) -> None:
    never_read(firing())
    never_read(firing())
    assert [len(outcome.owed) for outcome in again(dry_run=True)] == [1, 0]


# what can't be read


def test_a_body_that_cannot_be_unpacked_is_named_and_harms_no_other(mail: Channel) -> None:
    broken = never_read(firing("a1"))
    WebhookEvent.objects.filter(pk=broken.pk).update(body=b"\x00garbage")
    cut = stored(firing("b2"))
    WebhookEvent.objects.filter(pk=cut.pk).update(body=zlib.compress(b"[1, 2"))
    never_read(firing("c3"))
    first, second, third = again(everything=True)
    assert "can't be unpacked" in first.error
    assert "not JSON" in second.error
    assert kinds([third]) == [["firing"]]
    cut.refresh_from_db()
    assert cut.result == "unchanged"


def test_ten_thousand_alerts_cost_as_many_statements_as_one(mail: Channel, django_assert_max_num_queries: Any) -> None:
    never_read(*(firing(f"{i:x}") for i in range(1000)))
    with django_assert_max_num_queries(18):
        again()
    assert Notification.objects.count() == 1000


# the command


def command(*ids: str, **given: Any) -> Namespace:
    arguments = {"all": False, "since": None, "dry_run": False} | given
    return Namespace(ids=[replay_flags.ids(text) for text in ids], **arguments)


def test_the_command_says_a_line_for_each_and_the_sums(mail: Channel, capsys: pytest.CaptureFixture[str]) -> None:
    row = never_read(*(firing(f"a{i}") for i in range(5)), {"status": "odd"})
    assert replay_command.run(command(dry_run=True)) == 0
    foretold = capsys.readouterr().out
    assert not AuditEntry.objects.exists()
    assert replay_command.run(command()) == 0
    said = capsys.readouterr().out
    first, sums = said.splitlines()
    assert first.startswith(f"#{row.pk} ")
    assert "5 changes (SimulationFailing a0 firing, SimulationFailing a1 firing" in first
    assert "2 more), 5 messages owed, still odd: alerts[5]: fingerprint is missing" in first
    assert sums.startswith("1 webhooks read, 1 applied: 5 changes (5 firing), 5 messages owed (5 mail); 0 alerts left")
    assert foretold == said.replace("1 applied", "1 would be applied")


def test_the_command_is_on_record(mail: Channel) -> None:
    row = never_read(firing())
    replay_command.run(command(str(row.pk)))
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.kind, entry.name) == ("replay", "webhookevent", f"webhooks: {row.pk}")
    assert entry.new == {"all": False, "webhooks": 1, "changes": 1, "owed": 1}
    assert entry.by.endswith("(command line)")


def test_the_command_takes_numbers_and_ranges(mail: Channel) -> None:
    rows = [never_read(firing(f"a{i}")).pk for i in range(6)]
    replay_command.run(command(str(rows[0]), f"{rows[2]}-{rows[3]}", f"#{rows[5]}-"))
    assert sorted(AlertIdentity.objects.values_list("pk", flat=True)) == ["a0", "a2", "a3", "a5"]


def test_the_command_takes_a_time(mail: Channel) -> None:
    never_read(firing("old"), ago=timedelta(hours=3))
    never_read(firing("new"))
    replay_command.run(command(since=replay_flags.since("2h")))
    assert AlertIdentity.objects.get().pk == "new"
    replay_command.run(command(since=replay_flags.since("2020-01-01T00:00:00+08:00")))
    assert AlertIdentity.objects.count() == 2


@pytest.mark.parametrize("text", ["", "x", "-5", "5-4", "5--6", "1" * 19, "٣", "5 6"])
def test_what_is_no_webhooks_number_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        replay_flags.ids(text)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "-2h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        replay_flags.since(text)


def test_a_replay_goes_on_where_it_was_stopped(mail: Channel) -> None:
    for i in range(4):
        never_read(firing(f"a{i}"))
    stopped = replay.run(WebhookEvent.objects.all())
    next(stopped)
    next(stopped)
    stopped.close()
    assert AlertIdentity.objects.count() == 2
    assert len(again()) == 2
    assert json.dumps(sorted(AlertIdentity.objects.values_list("pk", flat=True))) == '["a0", "a1", "a2", "a3"]'
