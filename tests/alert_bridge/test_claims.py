"""Who may send what: claims, leases, order per identity and channel, and what is recorded of each try."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models import F

from alert_bridge import claims
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from runtime.settings import SettingsError
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import AlertIdentity, Channel, DeliveryAttempt, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THANKS = Receipt("200", "thanks")
BUSY = TemporaryError("server_error", "busy", "503")


def states() -> list[tuple[str, str, str]]:
    """Return (kind, state, reason) of all notifications in their order."""
    return list(Notification.objects.order_by("id").values_list("kind", "state", "reason"))


def tries() -> list[tuple[int, str, bool]]:
    return list(DeliveryAttempt.objects.order_by("id").values_list("number", "outcome", "after_lease"))


def begun(channel: Channel, relay: str = "first") -> claims.Start:
    start = claims.start(claims.take(channel.pk)[0], relay)
    assert start is not None
    return start


def pass_lease() -> None:
    """Let every lease have ended a second ago."""
    Notification.objects.filter(state="sending").update(claimed_until=clock.now() - timedelta(seconds=1))


def wake() -> None:
    """Let everything that is owed be due."""
    Notification.objects.update(due_at=clock.now() - timedelta(seconds=1))


def test_what_is_owed_is_claimed_once(post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2"))
    assert len(claims.take(mail.pk)) == 2
    assert claims.take(mail.pk) == []


def test_the_oldest_come_first_and_no_more_than_a_batch(post: Post, mail: Channel) -> None:
    post(*(firing(f"{i:02}") for i in range(12)))
    taken = [claim.notification for claim in claims.take(mail.pk, batch=5)]
    assert taken == list(Notification.objects.order_by("id").values_list("id", flat=True)[:5])


def test_what_is_not_due_yet_is_left(post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(due_at=clock.now() + timedelta(seconds=60))
    assert claims.take(mail.pk) == []
    assert claims.channels() == [(mail, False)]


def test_a_resolved_waits_for_its_firing_whatever_becomes_of_it(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    first = begun(mail)
    assert claims.take(mail.pk) == []
    claims.failed(first, BUSY, 5, 0.0)
    assert claims.take(mail.pk) == []
    assert claims.channels() == [(mail, False)]
    wake()
    assert claims.channels() == [(mail, True)]
    second = begun(mail)
    assert second.notification.kind == "firing"
    claims.failed(second, PermanentError("rejected", "no", "550"), 5, 0.0)
    assert begun(mail).notification.kind == "resolved"


def test_order_is_of_one_identity_and_one_channel_only(post: Post, mail: Channel, hook: Channel) -> None:
    post(firing("a1", severity="critical"), firing("b2", severity="critical"))
    post(resolved("a1", severity="critical"))
    begun(mail)
    assert [c.notification for c in claims.take(mail.pk)] == []  # all of this channel were in the first batch
    assert len(claims.take(hook.pk)) == 2


def test_a_claim_whose_lease_has_passed_is_taken_by_another_and_its_try_is_unknown(post: Post, mail: Channel) -> None:
    post(firing())
    begun(mail)
    assert claims.take(mail.pk) == []
    pass_lease()
    again = begun(mail, "second")
    assert again.attempt == 2
    assert tries() == [(1, "unknown", False), (2, "started", False)]


def test_a_result_after_the_lease_is_kept_as_a_try_and_changes_nothing_else(post: Post, mail: Channel) -> None:
    post(firing())
    slow = begun(mail)
    pass_lease()
    quick = begun(mail, "second")
    assert claims.delivered(slow, THANKS, 50_000).state is None
    assert states() == [("firing", "sending", "")]
    assert claims.delivered(quick, THANKS, 5).state == "delivered"
    assert tries() == [(1, "delivered", True), (2, "delivered", False)]


def test_a_lease_that_has_passed_but_that_nobody_took_still_holds(post: Post, mail: Channel) -> None:
    post(firing())
    start = begun(mail)
    pass_lease()
    assert claims.delivered(start, THANKS, 5).state == "delivered"
    assert tries() == [(1, "delivered", False)]


def test_a_lost_claim_is_not_started(post: Post, mail: Channel) -> None:
    post(firing())
    [lost] = claims.take(mail.pk)
    pass_lease()
    claims.take(mail.pk)
    assert claims.start(lost, "first") is None
    assert tries() == []


def test_starting_renews_the_lease(post: Post, mail: Channel) -> None:
    post(firing())
    [claim] = claims.take(mail.pk)
    soon = clock.now() + timedelta(seconds=2)
    Notification.objects.update(claimed_until=soon)
    claims.start(claim, "first")
    until = Notification.objects.get().claimed_until
    assert until is not None
    assert until > soon + timedelta(seconds=30)


def test_a_claim_that_is_given_back_can_be_taken_at_once(post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2"))
    held = claims.take(mail.pk)
    claims.give_back(held[1:])
    assert [c.notification for c in claims.take(mail.pk)] == [held[1].notification]


def test_a_claim_that_passed_to_another_is_not_given_back(post: Post, mail: Channel) -> None:
    post(firing())
    held = claims.take(mail.pk)
    pass_lease()
    claims.take(mail.pk)
    claims.give_back(held)
    assert claims.take(mail.pk) == []


def test_a_delivery_is_recorded_with_its_answer_and_told_to_the_identity(post: Post, mail: Channel) -> None:
    post(firing())
    recorded = claims.delivered(begun(mail, "host:1"), THANKS, 42)
    attempt, notification = DeliveryAttempt.objects.get(), Notification.objects.get()
    assert (attempt.relay, attempt.milliseconds, attempt.status, attempt.answer) == ("host:1", 42, "200", "thanks")
    assert AlertIdentity.objects.get().last_told_at == notification.delivered_at == recorded.at
    assert (notification.claim, notification.claimed_until) == ("", None)


def test_a_result_that_is_recorded_again_because_the_commits_answer_was_lost_changes_nothing(
    post: Post, mail: Channel
) -> None:
    post(firing())
    start = begun(mail)
    claims.delivered(start, THANKS, 5)
    assert claims.delivered(start, THANKS, 5).state == "delivered"
    assert tries() == [(1, "delivered", False)]


def test_a_temporary_failure_is_owed_again_later(post: Post, mail: Channel) -> None:
    post(firing())
    recorded = claims.failed(begun(mail), BUSY, 5, 0.0)
    notification = Notification.objects.get()
    assert (recorded.state, notification.reason, notification.attempts) == ("owed", "server_error", 1)
    assert notification.due_at - recorded.at == timedelta(seconds=2)


def test_what_the_destination_asks_for_is_waited(post: Post, mail: Channel) -> None:
    post(firing())
    recorded = claims.failed(begun(mail), TemporaryError("rate_limited", "", "429", 120.0), 5, 0.9)
    assert Notification.objects.get().due_at - recorded.at == timedelta(seconds=120)


def test_a_permanent_refusal_is_dead_at_once(post: Post, mail: Channel) -> None:
    post(firing())
    claims.failed(begun(mail), PermanentError("rejected", "no such user", "550"), 5, 0.0)
    assert states() == [("firing", "dead", "rejected")]
    assert tries() == [(1, "permanent", False)]


def test_the_last_try_is_dead(post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(attempts=35)
    claims.failed(begun(mail), BUSY, 5, 0.0)
    assert states() == [("firing", "dead", "server_error")]


def test_a_message_whose_episode_is_over_before_it_was_started_is_not_sent(post: Post, mail: Channel) -> None:
    post(firing())
    [claim] = claims.take(mail.pk)
    post(firing(start=100))
    assert claims.start(claim, "first") is None
    assert states() == [("firing", "void", "superseded"), ("firing", "owed", "")]


def test_a_message_that_failed_while_its_episode_was_superseded_is_void(post: Post, mail: Channel) -> None:
    post(firing())
    start = begun(mail)
    Channel.objects.update(matchers="tenant=beta")  # the next episode is none of this channel's business
    post(firing(start=100))
    claims.failed(start, BUSY, 5, 0.0)
    assert states() == [("firing", "void", "superseded")]


def test_a_message_that_arrived_while_its_episode_was_superseded_is_delivered(post: Post, mail: Channel) -> None:
    post(firing())
    start = begun(mail)
    post(firing(start=100))
    assert claims.take(mail.pk) == []
    claims.delivered(start, THANKS, 5)
    assert [state for _, state, _ in states()] == ["delivered", "owed"]


def test_an_episode_that_began_and_ended_unheard_does_not_void_the_end_that_is_owed(post: Post, mail: Channel) -> None:
    post(firing())
    claims.delivered(begun(mail), THANKS, 5)
    post(resolved(start=100, end=200))
    assert begun(mail).notification.kind == "resolved"


@pytest.mark.parametrize(("wanted", "state"), [(True, "sending"), (False, "void")])
def test_an_end_whose_firing_was_never_delivered_is_sent_as_the_channel_wants(
    post: Post, mail: Channel, wanted: bool, state: str
) -> None:
    Channel.objects.update(resolved_without_firing=wanted)
    post(firing())
    post(resolved())
    claims.failed(begun(mail), PermanentError("rejected", "no", "550"), 5, 0.0)
    start = claims.start(claims.take(mail.pk)[0], "first")
    assert Notification.objects.get(kind="resolved").state == state
    assert start is None or start.firing_was_told is False


def test_what_waits_for_a_channel_that_was_switched_off_is_void_but_for_what_is_being_sent(
    post: Post, mail: Channel
) -> None:
    post(firing("a1"), firing("b2"))
    start = claims.start(claims.take(mail.pk, batch=1)[0], "first")
    Channel.objects.update(enabled=False)
    assert claims.void_of_disabled() == 1
    assert start is not None
    assert claims.delivered(start, THANKS, 5).state == "delivered"
    assert states()[1] == ("firing", "void", "channel_disabled")


def test_what_a_dead_relay_was_sending_to_a_channel_that_was_switched_off_is_void_and_named(
    post: Post, mail: Channel
) -> None:
    post(firing())
    begun(mail)
    Channel.objects.update(enabled=False)
    pass_lease()
    claims.void_of_disabled()
    assert states() == [("firing", "void", "channel_disabled")]
    assert tries() == [(1, "unknown", False)]


def test_a_claimed_message_is_not_started_once_its_channel_is_off(post: Post, mail: Channel) -> None:
    post(firing())
    [claim] = claims.take(mail.pk)
    Channel.objects.update(enabled=False)
    assert claims.start(claim, "first") is None
    assert states() == [("firing", "void", "channel_disabled")]


def test_no_transaction_voids_more_than_a_hundred(post: Post, mail: Channel) -> None:
    post(*(firing(f"{i:03}") for i in range(150)))
    Channel.objects.update(enabled=False)
    assert [claims.void_of_disabled() for _ in range(3)] == [100, 50, 0]


def test_a_channel_that_is_on_again_hears_of_what_still_fires(post: Post, mail: Channel) -> None:
    post(firing())
    Channel.objects.update(enabled=False)
    claims.void_of_disabled()
    Channel.objects.update(enabled=True)
    post(firing())
    post(firing())
    assert [(kind, state) for kind, state, _ in states()] == [("firing", "void"), ("firing", "owed")]


def test_starting_reads_the_channels_settings_anew(post: Post, mail: Channel) -> None:
    post(firing())
    [claim] = claims.take(mail.pk)
    Channel.objects.update(config={"host": "mended"})
    start = claims.start(claim, "first")
    assert start is not None
    assert start.notification.channel.config == {"host": "mended"}


@pytest.mark.parametrize(
    ("deadline", "lease", "seconds"), [(None, None, 40), ("1", None, 4), ("1", "3", 3), (None, "60", 60)]
)
def test_the_lease_is_four_deadlines_or_what_is_set(
    monkeypatch: pytest.MonkeyPatch, deadline: str | None, lease: str | None, seconds: int
) -> None:
    for name, value in (("RELAY_SEND_DEADLINE", deadline), ("RELAY_LEASE", lease)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert claims.lease() == timedelta(seconds=seconds)


@pytest.mark.parametrize(("deadline", "lease"), [("10", "29"), ("1", "2.9"), ("0.5", "3"), ("61", "300"), ("10", "x")])
def test_a_lease_below_three_deadlines_is_refused(monkeypatch: pytest.MonkeyPatch, deadline: str, lease: str) -> None:
    monkeypatch.setenv("RELAY_SEND_DEADLINE", deadline)
    monkeypatch.setenv("RELAY_LEASE", lease)
    with pytest.raises(SettingsError, match="RELAY_"):
        claims.lease()


@pytest.mark.django_db(transaction=True, databases="__all__")
def test_relays_that_take_at_the_same_time_share_without_overlap_and_keep_the_order(post: Post, mail: Channel) -> None:
    post(*(firing(f"{i:03}") for i in range(20)))
    post(*(resolved(f"{i:03}") for i in range(20)))

    def work(name: int) -> list[int]:
        done: list[int] = []
        while held := claims.take(mail.pk, batch=3):
            for claim in held:
                start = claims.start(claim, str(name))
                assert start is not None
                done.append(claim.notification)
                claims.delivered(start, THANKS, 1)
        connections.close_all()
        return done

    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(work, range(4)))
    left = Notification.objects.exclude(state="delivered")
    while left.exists():  # a relay that found only ends whose firings were being sent went home early
        sent.append(work(9))
    assert sorted(pk for done in sent for pk in done) == sorted(Notification.objects.values_list("pk", flat=True))
    assert DeliveryAttempt.objects.filter(number__gt=1).count() == 0
    ends: Any = Notification.objects.filter(kind="resolved").annotate(firing=F("alert__notifications__delivered_at"))
    assert all(end.delivered_at >= end.firing for end in ends if end.firing is not None)
