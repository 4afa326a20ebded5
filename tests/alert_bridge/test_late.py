"""What comes too late is not told as if it were new: a digest tells what fires still, and what came and went meanwhile."""

import json
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from alert_bridge import claims
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from alert_bridge.relay import Relay
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import Receiver, status
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import Channel, DeliveryAttempt, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THANKS = Receipt("200", "thanks")
BUSY = TemporaryError("connection", "no connection")


@pytest.fixture
def chat(vendor: str, destination: Receiver) -> Channel:
    """A channel of the default: late after an hour."""
    channel = Channel(name="chat", kind="webhook")
    channel.secrets = {"url": destination.url, "secret": "s3cret"}
    channel.save()
    return channel


def told(destination: Receiver) -> list[dict[str, Any]]:
    return [json.loads(got.body) for got in destination.got]


def states(**which: Any) -> list[tuple[str, str, str]]:
    return list(Notification.objects.filter(**which).order_by("id").values_list("kind", "state", "reason"))


def pass_minutes(minutes: float) -> None:
    """Let all that is in the outbox have become owed so much earlier; whatever waits for its next try is due."""
    passed = timedelta(minutes=minutes)
    for row in Notification.objects.all():
        moved = {name: getattr(row, name) - passed for name in ("created_at", "cause_at", "first_due_at")}
        Notification.objects.filter(pk=row.pk).update(**moved, due_at=min(row.due_at - passed, clock.now()))
    for attempt in DeliveryAttempt.objects.all():
        DeliveryAttempt.objects.filter(pk=attempt.pk).update(started_at=attempt.started_at - passed)


def go(channel: Channel) -> None:
    """Let a relay do what it can now; a new one each time, which knows of no rest."""
    Relay().deliver_due(channel)


@pytest.mark.parametrize(("minutes", "kind"), [(59, "firing"), (61, "digest")])
def test_after_an_hour_a_firing_is_told_in_a_digest_alone(
    post: Post, chat: Channel, destination: Receiver, minutes: float, kind: str
) -> None:
    post(firing())
    pass_minutes(minutes)
    go(chat)
    assert [document["kind"] for document in told(destination)] == [kind]


def test_it_says_that_it_is_late_and_what_fires(post: Post, chat: Channel, destination: Receiver) -> None:
    post(firing())
    pass_minutes(61)
    go(chat)
    [document] = told(destination)
    assert document["title"] == "[MISSED] 1 alerts, 1 of them firing: error SimulationFailing (alpha)"
    assert (document["late"], document["members"][0]["reason"]) == (1, "late")
    assert states() == [("firing", "delivered", "late"), ("digest", "delivered", "")]


@pytest.mark.parametrize(("after", "kind"), [(timedelta(minutes=5), "digest"), (None, "firing")])
def test_each_channel_has_its_own_limit_or_none(
    post: Post, chat: Channel, destination: Receiver, after: timedelta | None, kind: str
) -> None:
    Channel.objects.update(late_after=after)
    post(firing())
    pass_minutes(6)
    go(chat)
    assert told(destination)[0]["kind"] == kind


def test_an_end_that_comes_late_after_its_firing_was_told_is_in_the_digest_too(
    post: Post, chat: Channel, destination: Receiver
) -> None:
    post(firing())
    go(chat)
    post(resolved())
    pass_minutes(61)
    go(chat)
    [_, document] = told(destination)
    assert (document["kind"], document["firing"], document["resolved"]) == ("digest", 0, 1)


def test_quiet_hours_make_nothing_late(post: Post, chat: Channel, destination: Receiver) -> None:
    post(firing())
    pass_minutes(480)
    Notification.objects.update(first_due_at=clock.now() - timedelta(minutes=1))
    go(chat)
    assert [document["kind"] for document in told(destination)] == ["firing"]


def test_an_end_of_something_late_goes_into_the_same_digest_though_it_is_new(
    post: Post, chat: Channel, destination: Receiver
) -> None:
    post(firing())
    pass_minutes(61)
    post(resolved())
    go(chat)
    [document] = told(destination)
    assert [member["kind"] for member in document["members"]] == ["firing", "resolved"]
    assert (document["status"], document["resolved"]) == ("resolved", 1)


def test_what_is_new_and_was_not_tried_is_told_as_news_after_the_digest(
    post: Post, chat: Channel, destination: Receiver
) -> None:
    post(firing("a1"))
    pass_minutes(61)
    post(firing("b2"))
    go(chat)
    assert [document["kind"] for document in told(destination)] == ["digest", "firing"]


def test_a_chat_that_was_down_for_three_hours_gets_one_message(
    post: Post, chat: Channel, destination: Receiver
) -> None:
    destination.answer = status(503)
    for number in range(12):  # every 15 minutes another alert; every other one is over when the next comes
        post(firing(f"{number:02}"))
        if number % 2:
            post(resolved(f"{number - 1:02}"))
        for _ in range(3):
            go(chat)
            pass_minutes(5)
    before = len(destination.got)
    assert {kind for kind, state, _ in states(state="dead")} == set()
    destination.answer = status(200)
    for _ in range(2):
        pass_minutes(1)
        go(chat)
    [document] = told(destination)[before:]
    assert (document["firing"], document["resolved"]) == (6, 6)
    assert not Notification.objects.exclude(state="delivered").exists()
    fingerprints = {member["fingerprint"] for member in document["members"]}
    assert fingerprints == {f"{number:02}" for number in range(12)}


def test_what_was_not_tried_yet_goes_on_while_a_digest_fails(post: Post, chat: Channel, destination: Receiver) -> None:
    post(firing("a1"))
    pass_minutes(61)
    claims.mark_late(chat.pk)
    digest = claims.start(claims.take(chat.pk)[0], "tests")
    assert digest is not None
    claims.failed(digest, BUSY, 5, 0.0)
    post(firing("b2"))
    go(chat)
    assert [document["fingerprint"] for document in told(destination)] == ["b2"]
    Notification.objects.filter(kind="digest").update(due_at=clock.now())
    post(firing("c3"))
    go(chat)
    assert [document.get("fingerprint", "digest") for document in told(destination)] == ["b2", "c3", "digest"]


def test_a_digest_that_failed_takes_in_what_has_failed_since(post: Post, chat: Channel, destination: Receiver) -> None:
    destination.answer = status(503)
    post(firing("a1"))
    pass_minutes(61)
    go(chat)
    post(firing("b2"))
    go(chat)
    destination.answer = status(200)
    pass_minutes(1)
    go(chat)
    document = told(destination)[-1]
    assert [(member["fingerprint"], member["reason"]) for member in document["members"]] == [
        ("a1", "late"),
        ("b2", "failed"),
    ]


def test_as_soon_as_the_channel_takes_something_again_the_digest_is_tried(
    post: Post, chat: Channel, destination: Receiver
) -> None:
    relay = Relay()
    destination.answer = status(503)
    post(firing("a1"))
    pass_minutes(61)
    seat = relay._seat(chat)
    for _ in range(3):
        seat.rests_until = 0.0
        relay.deliver_due(chat)
        Notification.objects.update(due_at=clock.now())
    Notification.objects.update(due_at=clock.now() + timedelta(seconds=60))
    destination.answer = status(200)
    post(firing("b2"))
    seat.rests_until = 0.0
    relay.deliver_due(chat)
    assert [document["kind"] for document in told(destination)[3:]] == ["firing", "digest"]


def test_what_is_late_is_in_a_state_of_its_own_until_a_digest_takes_it(post: Post, chat: Channel) -> None:
    post(firing())
    pass_minutes(61)
    assert claims.mark_late(chat.pk) == 1
    assert states() == [("firing", "late", "late")]
    assert claims.channels() == [(chat, True)]


def test_what_is_late_is_counted_once(post: Post, chat: Channel) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("mission_notifications_late_total", {"channel": "chat"}) or 0.0

    before = counted()
    post(firing("a1"), firing("b2"))
    pass_minutes(61)
    go(chat)
    go(chat)
    assert counted() == before + 2


def test_what_became_late_between_two_looks_is_not_sent_as_new(post: Post, chat: Channel) -> None:
    post(firing())
    pass_minutes(61)
    assert claims.take(chat.pk) == []


def test_all_that_is_late_is_marked_however_many(post: Post, chat: Channel) -> None:
    post(*(firing(f"{i:03}") for i in range(150)))
    Notification.objects.update(first_due_at=clock.now() - timedelta(minutes=61))
    assert claims.mark_late(chat.pk) == 150


def test_what_is_being_sent_is_not_late_and_what_a_dead_relay_left_is(post: Post, chat: Channel) -> None:
    post(firing())
    start = claims.start(claims.take(chat.pk)[0], "tests")
    pass_minutes(61)
    assert claims.mark_late(chat.pk) == 0
    Notification.objects.update(claimed_until=clock.now() - timedelta(seconds=1))
    assert claims.mark_late(chat.pk) == 1
    assert DeliveryAttempt.objects.get().outcome == "unknown"
    assert start is not None
    assert claims.delivered(start, THANKS, 5).state is None


def test_what_is_late_of_a_channel_that_was_switched_off_is_void(post: Post, chat: Channel) -> None:
    post(firing())
    pass_minutes(61)
    claims.mark_late(chat.pk)
    Channel.objects.update(enabled=False)
    claims.void_of_disabled()
    assert states() == [("firing", "void", "channel_disabled")]


def test_late_ones_of_earlier_episodes_are_left_out(post: Post, chat: Channel, destination: Receiver) -> None:
    post(firing())
    pass_minutes(61)
    claims.mark_late(chat.pk)
    post(resolved())
    post(firing(start=100))
    go(chat)
    assert [document["kind"] for document in told(destination)] == ["firing"]
    assert [state for _, state, _ in states()] == ["void", "void", "delivered"]


def test_a_late_end_whose_firing_was_never_told_is_dropped_where_the_channel_wants_none(
    post: Post, chat: Channel
) -> None:
    Channel.objects.update(resolved_without_firing=False)
    post(firing())
    start = claims.start(claims.take(chat.pk)[0], "tests")
    assert start is not None
    claims.failed(start, PermanentError("rejected", "no", "400"), 5, 0.0)
    post(resolved())
    pass_minutes(61)
    go(chat)
    assert states() == [("firing", "dead", "rejected"), ("resolved", "void", "firing_not_delivered")]


def test_a_late_digest_counts_how_long_the_channel_has_missed_something(post: Post, chat: Channel) -> None:
    post(firing())
    pass_minutes(61)
    claims.mark_late(chat.pk)
    claims.take(chat.pk)
    digest = Notification.objects.get(kind="digest")
    member = Notification.objects.get(kind="firing")
    assert (digest.first_due_at, digest.cause_at) == (member.first_due_at, member.cause_at)
