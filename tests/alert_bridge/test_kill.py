"""The relay killed with -9 at each step, and paused past its lease: nothing is lost, each possible double is named.

Real `alert-bridge relay` processes with a lease of 3 s and a send's deadline of 1 s (RELAY_LEASE, RELAY_SEND_DEADLINE). The
receiver is the trick: it kills or pauses the relay from inside the request, between its send and its record.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Q

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.processes import Process, environment, relay
from tests.alert_bridge.receivers import Receiver, receiver, status, until
from tests.alert_bridge.words import firing, resolved
from userdb.models import Channel, DeliveryAttempt, Notification

pytestmark = [
    pytest.mark.gate,
    pytest.mark.timeout(120),
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("vendor"),
]


@pytest.fixture
def server(vendor: str) -> Iterator[Receiver]:
    with receiver() as made:
        channel = Channel(name="hook", kind="webhook")
        channel.secrets = {"url": made.url, "secret": "s3cret"}
        channel.save()
        yield made


def quick_environment() -> dict[str, str]:
    return environment(RELAY_LEASE="3", RELAY_SEND_DEADLINE="1")


def all_delivered() -> bool:
    return not Notification.objects.exclude(state="delivered").exists()


def tries(key: str) -> list[tuple[int, str, bool]]:
    rows = DeliveryAttempt.objects.filter(notification__key=key).order_by("number")
    return list(rows.values_list("number", "outcome", "after_lease"))


def assert_nothing_lost_and_each_double_named(server: Receiver) -> int:
    """Compare what arrived with what was owed; return how many messages arrived more than once."""
    arrived = Counter(server.keys())
    assert set(arrived) == set(Notification.objects.values_list("key", flat=True))
    for key, times in arrived.items():
        rows = DeliveryAttempt.objects.filter(notification__key=key)
        lost_on_the_wire = Q(outcome="temporary", reason__in=("timeout", "connection"))
        named = rows.filter(Q(outcome="unknown") | Q(after_lease=True) | lost_on_the_wire).count()
        assert times - 1 <= named, f"{key} arrived {times} times: {tries(key)}"
    return sum(times > 1 for times in arrived.values())


def finish(server: Receiver, folder: Path) -> None:
    """Let a fresh relay do what is left."""
    server.answer = status(200)
    with relay(folder, quick_environment()):
        until(all_delivered, 20, "all delivered")


def killing(process: list[Process]) -> Any:
    def answer(request: Any) -> None:
        process[0].signal(signal.SIGKILL)
        process[0].wait()
        status(200)(request)

    return answer


def test_killed_before_it_claims_anything_nothing_is_lost_or_doubled(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    with relay(tmp_path, quick_environment()) as (process, _):
        process.signal(signal.SIGKILL)
        process.wait()
    post(firing())
    finish(server, tmp_path)
    assert assert_nothing_lost_and_each_double_named(server) == 0
    assert DeliveryAttempt.objects.count() == 1


def test_killed_with_claims_that_it_has_not_started_nothing_is_lost_or_doubled(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    running: list[Process] = []
    server.answer = killing(running)
    with relay(tmp_path, quick_environment()) as (process, _):
        running.append(process)
        post(firing("a1"), firing("b2"), firing("c3"))
        process.wait()
    claimed = Notification.objects.filter(state="sending")
    assert claimed.count() == 3
    assert claimed.filter(attempts=0).count() == 2
    finish(server, tmp_path)
    assert_nothing_lost_and_each_double_named(server)
    assert Counter(server.keys()).most_common()[1:] == [
        (n.key, 1) for n in Notification.objects.exclude(identity="a1").order_by("id")
    ]


def test_killed_between_send_and_record_the_double_is_named_unknown(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    running: list[Process] = []
    server.answer = killing(running)
    with relay(tmp_path, quick_environment()) as (process, _):
        running.append(process)
        post(firing())
        process.wait()
    post(resolved())
    finish(server, tmp_path)
    assert assert_nothing_lost_and_each_double_named(server) == 1
    first = Notification.objects.get(kind="firing").key
    assert server.keys() == [first, first, Notification.objects.get(kind="resolved").key]
    assert tries(first) == [(1, "unknown", False), (2, "delivered", False)]


def test_paused_past_its_lease_another_takes_over_and_the_late_result_is_named(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    paused: list[Process] = []

    def pausing(request: Any) -> None:
        server.answer = status(200)
        paused[0].pause()
        status(200)(request)

    server.answer = pausing
    with relay(tmp_path, quick_environment()) as (first, _):
        paused.append(first)
        post(firing())
        until(lambda: server.got)
        with relay(tmp_path, quick_environment()):
            until(all_delivered, 20, "taken over")
            first.signal(signal.SIGCONT)
            until(lambda: DeliveryAttempt.objects.filter(number=1, after_lease=True).exists())
    assert assert_nothing_lost_and_each_double_named(server) == 1
    [notification] = Notification.objects.all()
    assert [(number, after) for number, _, after in tries(notification.key)] == [(1, True), (2, False)]
    assert notification.state == "delivered"


def test_killed_again_and_again_at_any_moment_nothing_is_lost_and_each_double_named(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    chance = random.Random(os.getpid())
    alerts = [f"{i:03}" for i in range(60)]
    post(*map(firing, alerts))
    post(*map(resolved, alerts))
    server.answer = lambda request: (time.sleep(0.01), status(200)(request))[1]
    for _ in range(6):
        before = len(server.got)
        with relay(tmp_path, quick_environment()) as (process, _):
            wanted = before + chance.randint(0, 15)
            until(lambda wanted=wanted: len(server.got) >= wanted or all_delivered(), 20)
            time.sleep(chance.random() * 0.03)
            process.signal(signal.SIGKILL)
            process.wait()
    finish(server, tmp_path)
    doubles = assert_nothing_lost_and_each_double_named(server)
    print(f"{doubles} of {len(set(server.keys()))} arrived more than once, each named")
    order = [key.split(".") for key in dict.fromkeys(server.keys())]
    for alert in alerts:
        assert [parts[-2] for parts in order if parts[0] == alert] == ["firing", "resolved"]


def flood(post: Post, **labels: Any) -> None:
    """Owe a channel that takes three messages a minute more than that."""
    Channel.objects.update(per_minute=3)
    post(*(firing(f"{number:02}", **labels) for number in range(5)))


def digest() -> Notification:
    return Notification.objects.get(kind="digest")


def test_killed_with_a_digest_that_it_has_made_and_not_sent_the_next_relay_sends_it(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    running: list[Process] = []
    server.answer = killing(running)  # while the first critical alert is told: the digest of the others is claimed
    with relay(tmp_path, quick_environment()) as (process, _):
        running.append(process)
        flood(post, severity="critical")
        process.wait()
    assert (digest().state, digest().attempts) == ("sending", 0)
    assert Notification.objects.filter(state="in_digest").count() == 3
    Channel.objects.update(per_minute=10)  # the minute of the tries before is not over
    finish(server, tmp_path)
    assert Counter(server.keys())[digest().key] == 1
    assert tries(digest().key) == [(1, "delivered", False)]


def test_killed_between_a_digests_send_and_its_record_the_double_is_named_and_its_members_are_told(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    running: list[Process] = []
    server.answer = killing(running)
    with relay(tmp_path, quick_environment()) as (process, _):
        running.append(process)
        flood(post)
        process.wait()
    finish(server, tmp_path)
    assert server.keys() == [digest().key, digest().key]
    assert tries(digest().key) == [(1, "unknown", False), (2, "delivered", False)]
    assert Notification.objects.filter(kind="firing", state="delivered", digest=digest()).count() == 5


def test_paused_past_its_lease_with_a_digest_another_sends_it_and_the_late_result_is_named(
    post: Post, server: Receiver, tmp_path: Path
) -> None:
    paused: list[Process] = []

    def pausing(request: Any) -> None:
        server.answer = status(200)
        paused[0].pause()
        status(200)(request)

    server.answer = pausing
    with relay(tmp_path, quick_environment()) as (first, _):
        paused.append(first)
        flood(post)
        until(lambda: server.got)
        with relay(tmp_path, quick_environment()):
            until(all_delivered, 20, "taken over")
            first.signal(signal.SIGCONT)
            until(lambda: DeliveryAttempt.objects.filter(number=1, after_lease=True).exists())
    assert [(number, after) for number, _, after in tries(digest().key)] == [(1, True), (2, False)]
    assert set(server.keys()) == {digest().key}
