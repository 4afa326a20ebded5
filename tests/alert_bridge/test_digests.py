"""Digests: over a channel's limit one message instead of a flood; who is in it, and what counts in the limit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from prometheus_client import REGISTRY

from alert_bridge import claims
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from alert_bridge.relay import Relay
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.floods import a_minute_later, begun, digest, flood, kinds, states, told
from tests.alert_bridge.receivers import Receiver, status
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import AlertIdentity, Channel, DeliveryAttempt, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THANKS = Receipt("200", "thanks")
BUSY = TemporaryError("server_error", "busy", "503")


def test_up_to_the_limit_each_is_told_alone(post: Post, limited_hook: Channel, destination: Receiver) -> None:
    flood(post, 5)
    assert Relay().deliver_due(limited_hook) == 5
    assert kinds(destination) == ["firing"] * 5


def test_over_the_limit_one_digest_stands_for_all(post: Post, limited_hook: Channel, destination: Receiver) -> None:
    flood(post, 6)
    assert Relay().deliver_due(limited_hook) == 1
    [document] = told(destination)
    assert (document["kind"], document["status"], document["firing"], document["resolved"]) == (
        "digest",
        "firing",
        6,
        0,
    )
    assert [member["fingerprint"] for member in document["members"]] == [f"{i:03}" for i in range(6)]
    assert states() == [("firing", "delivered", "over_limit")] * 6 + [("digest", "delivered", "")]


def test_its_key_names_the_channel_and_the_lowest_member(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    flood(post, 6)
    Relay().deliver_due(limited_hook)
    lowest = Notification.objects.order_by("id")[0]
    assert destination.keys() == [f"digest.{limited_hook.pk}.{lowest.pk}.1"] == [digest().key]
    assert {row.digest_id for row in Notification.objects.filter(kind="firing")} == {digest().pk}


def test_a_delivered_digest_is_told_to_the_identities_of_its_members(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    Relay().deliver_due(limited_hook)
    delivered = digest().delivered_at
    assert set(Notification.objects.values_list("delivered_at", flat=True)) == {delivered}
    assert set(AlertIdentity.objects.values_list("last_told_at", flat=True)) == {delivered}


def test_critical_alerts_that_begin_are_told_alone_first_as_far_as_there_is_room(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    flood(post, 6)
    flood(post, 6, first=100, severity="critical")
    assert Relay().deliver_due(limited_hook) == 5
    assert kinds(destination) == ["firing"] * 4 + ["digest"]
    assert [document["fingerprint"] for document in told(destination)[:4]] == ["100", "101", "102", "103"]
    assert told(destination)[4]["firing"] == 8


def test_of_several_the_worst_come_first_and_critical_ones_lead_though_they_came_last(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    flood(post, 6, severity="warning")
    flood(post, 6, first=100, severity="critical")
    Relay().deliver_due(limited_hook)
    assert told(destination)[4]["title"].startswith(
        "[DIGEST] 8 alerts, 8 of them firing: critical SimulationFailing (alpha)"
    )


def test_what_is_sent_counts_whichever_relay_sent_it_and_however_it_ended(post: Post, limited_hook: Channel) -> None:
    flood(post, 4)
    for claim, error in zip(claims.take(limited_hook.pk), [None, BUSY, None, BUSY], strict=True):
        start = claims.start(claim, "another")
        assert start is not None
        if error is None:
            claims.delivered(start, THANKS, 5)
        else:
            claims.failed(start, error, 5, 0.0)
    flood(post, 2, first=100)
    [claim] = claims.take(limited_hook.pk)
    assert claim.notification == digest().pk


def test_what_another_relay_has_claimed_and_not_begun_counts(post: Post, limited_hook: Channel) -> None:
    flood(post, 5)
    assert len(claims.take(limited_hook.pk, batch=3)) == 3
    flood(post, 1, first=100)  # three wait, two may go
    [claim] = claims.take(limited_hook.pk)
    assert claim.notification == digest().pk


def test_beyond_the_limit_nothing_is_sent_until_the_minute_is_over(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    flood(post, 5)
    relay = Relay()
    relay.deliver_due(limited_hook)
    flood(post, 3, first=100)
    assert claims.take(limited_hook.pk) == []
    a_minute_later()
    assert Relay().deliver_due(limited_hook) == 3
    assert kinds(destination) == ["firing"] * 8


def test_a_digest_counts_in_the_limit(post: Post, limited_hook: Channel) -> None:
    Channel.objects.update(per_minute=1)
    flood(post, 2)
    assert Relay().deliver_due(limited_hook) == 1
    flood(post, 2, first=100)
    assert claims.take(limited_hook.pk) == []
    a_minute_later()
    assert begun(limited_hook).notification.kind == "digest"


def test_digests_over_the_limit_keep_apart(post: Post, limited_hook: Channel, destination: Receiver) -> None:
    flood(post, 6)
    Relay().deliver_due(limited_hook)
    flood(post, 6, first=100)
    assert claims.take(limited_hook.pk) == []
    flood(post, 6, first=200)
    Notification.objects.filter(kind="digest").update(created_at=clock.now() - timedelta(seconds=11))
    Relay().deliver_due(limited_hook)
    assert [document["firing"] for document in told(destination)] == [6, 12]


def test_the_kinds_own_limit_holds_where_the_channel_has_none(post: Post, limited_hook: Channel) -> None:
    Channel.objects.update(kind="dingtalk", per_minute=None)
    flood(post, 21)
    claims.take(limited_hook.pk)
    assert digest().members.count() == 21


def test_a_kind_without_a_limit_makes_no_digest(post: Post, mail: Channel) -> None:
    flood(post, 200)
    assert len(claims.take(mail.pk, batch=300)) == 200


def test_the_end_of_a_member_waits_for_the_digest(post: Post, limited_hook: Channel, destination: Receiver) -> None:
    flood(post, 6)
    start = begun(limited_hook)
    post(resolved("000"))
    assert claims.take(limited_hook.pk) == []
    claims.delivered(start, THANKS, 5)
    Relay().deliver_due(limited_hook)
    assert [(document["kind"], document["firing_was_told"]) for document in told(destination)] == [("resolved", True)]


def test_an_end_that_waits_beside_its_firing_goes_into_the_same_digest(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    flood(post, 6)
    post(resolved("000"))
    Relay().deliver_due(limited_hook)
    [document] = told(destination)
    assert (document["firing"], document["resolved"]) == (5, 1)
    assert document["messages"] == {"firing": 6, "resolved": 1}


def test_nothing_passes_what_is_being_sent_of_its_identity(post: Post, limited_hook: Channel) -> None:
    flood(post, 1)
    first = begun(limited_hook)
    post(resolved("000"))
    flood(post, 6, first=100)
    claims.take(limited_hook.pk)
    assert states(identity="000")[1] == ("resolved", "owed", "")
    claims.delivered(first, THANKS, 5)


def test_what_quiet_hours_hold_goes_into_no_digest(post: Post, limited_hook: Channel) -> None:
    flood(post, 1)
    later = clock.now() + timedelta(hours=1)
    Notification.objects.update(due_at=later, first_due_at=later)
    post(resolved("000"))
    flood(post, 6, first=100)
    claims.take(limited_hook.pk)
    assert digest().members.count() == 6
    assert [state for _, state, _ in states(identity="000")] == ["owed", "owed"]


def test_an_end_without_its_firing_goes_into_no_digest_where_the_channel_wants_none(
    post: Post, limited_hook: Channel
) -> None:
    Channel.objects.update(resolved_without_firing=False)
    flood(post, 1)
    claims.failed(begun(limited_hook), PermanentError("rejected", "no", "400"), 5, 0.0)
    post(resolved("000"))
    flood(post, 6, first=100)
    claims.take(limited_hook.pk)
    assert states(identity="000")[1] == ("resolved", "void", "firing_not_delivered")


def test_a_member_that_a_later_episode_has_made_pointless_is_left_out(
    post: Post, limited_hook: Channel, destination: Receiver
) -> None:
    flood(post, 6)
    [claim] = claims.take(limited_hook.pk)
    post(firing("000", start=100))
    start = claims.start(claim, "tests")
    assert start is not None
    assert start.contents is not None
    assert [member.fingerprint for member in start.contents.members] == ["001", "002", "003", "004", "005"]
    assert states(identity="000") == [("firing", "void", "superseded"), ("firing", "owed", "")]


def test_a_digest_of_which_every_member_is_pointless_is_not_sent(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    [claim] = claims.take(limited_hook.pk)
    post(*(firing(f"{i:03}", start=100) for i in range(6)))
    assert claims.start(claim, "tests") is None
    assert (digest().state, digest().reason) == ("void", "superseded")


def test_it_says_how_things_stand_when_it_is_sent(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    [claim] = claims.take(limited_hook.pk)
    post(resolved("000"))
    start = claims.start(claim, "tests")
    assert start is not None
    assert start.contents is not None
    assert start.contents.firing == 5


def test_what_is_left_alone_is_told_alone(post: Post, limited_hook: Channel) -> None:
    Channel.objects.update(per_minute=1, resolved_without_firing=False)
    flood(post, 1)
    claims.failed(begun(limited_hook), PermanentError("rejected", "no", "400"), 5, 0.0)
    a_minute_later()
    post(resolved("000"))
    flood(post, 1, first=100)
    assert begun(limited_hook).notification.kind == "firing"
    assert not Notification.objects.filter(kind="digest").exists()


def test_digests_and_their_members_are_counted_once_committed(post: Post, limited_hook: Channel) -> None:
    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"channel": "hook", **labels}) or 0.0

    before = counted("mission_digests_total"), counted("mission_digest_members_total", reason="over_limit")
    delays = counted("mission_notification_delay_seconds_count")
    flood(post, 6)
    Relay().deliver_due(limited_hook)
    assert counted("mission_digests_total") == before[0] + 1
    assert counted("mission_digest_members_total", reason="over_limit") == before[1] + 6
    assert counted("mission_notification_delay_seconds_count") == delays + 6


def test_a_destination_that_asked_for_a_pause_gets_it_from_every_relay(post: Post, limited_hook: Channel) -> None:
    flood(post, 2)
    [first, second] = claims.take(limited_hook.pk)
    start = claims.start(first, "tests")
    assert start is not None
    claims.failed(start, TemporaryError("rate_limited", "", "429", 30.0), 5, 0.0)
    claims.give_back([second])
    assert claims.take(limited_hook.pk) == []
    Notification.objects.update(due_at=clock.now())
    assert len(claims.take(limited_hook.pk)) == 2


def test_the_relay_rests_as_long_as_it_was_asked_to(post: Post, limited_hook: Channel, destination: Receiver) -> None:
    destination.answer = status(429, Retry_After="600")
    flood(post, 2)
    relay = Relay()
    assert relay.deliver_due(limited_hook) == 1
    Notification.objects.update(due_at=clock.now(), reason="")
    assert relay.deliver_due(limited_hook) == 0


@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.django_db(transaction=True, databases="__all__")
def test_relays_at_the_same_time_make_one_digest_and_keep_the_limit(
    post: Post, limited_hook: Channel, attempt: int
) -> None:
    flood(post, 12, severity="critical")
    flood(post, 30, first=100)

    def work(name: int) -> int:
        begun = 0
        for claim in claims.take(limited_hook.pk):
            start = claims.start(claim, str(name))
            assert start is not None
            claims.delivered(start, THANKS, 1)
            begun += 1
        connections.close_all()
        return begun

    with ThreadPoolExecutor(4) as pool:
        sent = sum(pool.map(work, range(4)))
    assert sent == DeliveryAttempt.objects.count() <= 5
    assert Notification.objects.filter(kind="digest").count() == 1
    assert {state for _, state, _ in states(state="sending")} == set()
