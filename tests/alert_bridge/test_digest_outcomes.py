"""What becomes of a digest and of its members: tried again, dead, void, grown, taken over."""

from datetime import timedelta

import pytest

from alert_bridge import claims
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.floods import a_minute_later, begun, digest, flood, states
from tests.alert_bridge.words import resolved
from userdb import clock
from userdb.models import Channel, DeliveryAttempt, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THANKS = Receipt("200", "thanks")
BUSY = TemporaryError("server_error", "busy", "503")


def test_a_failed_digest_is_owed_again_with_its_members_in_it(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    recorded = claims.failed(begun(limited_hook), BUSY, 5, 0.0)
    assert recorded.state == "owed"
    assert digest().due_at - recorded.at == timedelta(seconds=2)
    assert states(kind="firing") == [("firing", "in_digest", "over_limit")] * 6


def test_a_digest_that_has_failed_lets_the_end_of_a_member_pass(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    claims.failed(begun(limited_hook), BUSY, 5, 0.0)
    post(resolved("000"))
    start = begun(limited_hook)
    assert (start.notification.kind, start.firing_was_told) == ("resolved", False)


def test_a_digest_that_is_refused_for_good_is_dead_and_its_members_with_it(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    claims.failed(begun(limited_hook), PermanentError("rejected", "too long", "400"), 5, 0.0)
    assert states() == [("firing", "dead", "rejected")] * 6 + [("digest", "dead", "rejected")]


def test_a_digest_is_tried_for_longer_than_a_message_alone(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    Notification.objects.update(attempts=1400)
    assert claims.failed(begun(limited_hook), BUSY, 5, 0.0).state == "owed"
    Notification.objects.filter(kind="digest").update(attempts=1439, due_at=clock.now())
    a_minute_later()
    assert claims.failed(begun(limited_hook), BUSY, 5, 0.0).state == "dead"


def test_a_channel_that_is_switched_off_voids_a_digest_and_its_members(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    claims.give_back(claims.take(limited_hook.pk))
    Channel.objects.update(enabled=False)
    claims.void_of_disabled()
    assert {(state, reason) for _, state, reason in states()} == {("void", "channel_disabled")}


def test_a_claimed_digest_is_not_started_once_its_channel_is_off(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    [claim] = claims.take(limited_hook.pk)
    Channel.objects.update(enabled=False)
    assert claims.start(claim, "tests") is None
    assert {(state, reason) for _, state, reason in states()} == {("void", "channel_disabled")}


def test_a_digest_that_nobody_has_tried_takes_in_what_comes_next_under_the_same_key(
    post: Post, limited_hook: Channel
) -> None:
    flood(post, 6)
    claims.give_back(claims.take(limited_hook.pk))
    key = digest().key
    flood(post, 6, first=100)
    claims.take(limited_hook.pk)
    assert (digest().key, digest().members.count()) == (key, 12)


def test_a_digest_that_was_tried_has_another_key_when_it_takes_in_more(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    claims.failed(begun(limited_hook), BUSY, 5, 0.0)
    key = digest().key
    flood(post, 6, first=100)
    Notification.objects.filter(kind="digest").update(due_at=clock.now())
    assert begun(limited_hook).notification.members.count() == 12
    assert digest().key == f"{key.rpartition('.')[0]}.2"


def test_a_digest_whose_relay_died_is_taken_by_the_next_and_its_try_is_unknown(
    post: Post, limited_hook: Channel
) -> None:
    flood(post, 6)
    lost = begun(limited_hook)
    Notification.objects.filter(kind="digest").update(claimed_until=clock.now() - timedelta(seconds=1))
    again = begun(limited_hook)
    assert again.notification.key == lost.notification.key
    assert claims.delivered(lost, THANKS, 5).state is None
    assert states(kind="firing") == [("firing", "in_digest", "over_limit")] * 6
    assert claims.delivered(again, THANKS, 5).state == "delivered"
    tries = DeliveryAttempt.objects.order_by("id").values_list("outcome", "after_lease")
    assert list(tries) == [("delivered", True), ("delivered", False)]


def test_a_result_that_is_recorded_again_changes_nothing(post: Post, limited_hook: Channel) -> None:
    flood(post, 6)
    start = begun(limited_hook)
    claims.delivered(start, THANKS, 5)
    assert claims.delivered(start, THANKS, 5).state == "delivered"
    assert states(kind="firing") == [("firing", "delivered", "over_limit")] * 6
