"""A return is told only when an Alertmanager lists it, or none can be believed; else its episode is closed, told to nobody."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alert_bridge import confirmation
from alert_bridge.relay import Relay
from tests.alert_bridge.alertmanagers import Lister, lister
from tests.alert_bridge.alertmanagers import listed as entry
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.processes import Process, environment, relay
from tests.alert_bridge.receivers import Receiver, dribble, receiver, status, until
from tests.alert_bridge.words import at, firing, resolved
from userdb.models import Alert, AlertIdentity, AlertTransition, Channel, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THREADS = pytest.mark.django_db(transaction=True, databases="__all__")
LISTED = entry("a1", at(0))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lister]:
    with lister() as made:
        monkeypatch.setenv("ALERTMANAGER_URL", made.url)
        yield made


def come_back(post: Post, *fingerprints: str) -> None:
    """Let alerts fire, end, and fire again with the same start."""
    names = fingerprints or ("a1",)
    for word in (firing, resolved, firing):
        post(*(word(name) for name in names))


def ask_and_decide() -> dict[str, int]:
    return {result: n for result, n in confirmation.decide(confirmation.questions()).items() if n}


def last_of(channel: Channel) -> tuple[str, str, str]:
    row = Notification.objects.filter(channel=channel).latest("id")
    return row.kind, row.state, row.reason


def kinds() -> list[str]:
    return list(AlertTransition.objects.order_by("id").values_list("kind", flat=True))


def all_quiet(server: Lister) -> None:
    """It answers and lists nothing."""


def lists_it(server: Lister) -> None:
    server.alerts = [LISTED]


def lists_it_silenced(server: Lister) -> None:
    server.alerts = [entry("a1", at(0), "suppressed", silenced_by=["s-1"])]


def lists_another(server: Lister) -> None:
    server.alerts = [entry("b2", at(0))]


def refuses(server: Lister) -> None:
    server.fault = status(503)


def just_started(server: Lister) -> None:
    server.started = datetime.now(UTC) - timedelta(minutes=4)


def started_a_while_ago(server: Lister) -> None:
    server.started = datetime.now(UTC) - timedelta(minutes=6)


@pytest.mark.parametrize(
    ("says", "result", "state"),
    [
        (lists_it, "listed", "owed"),
        (lists_it_silenced, "listed", "owed"),
        (all_quiet, "not_listed", "void"),
        (lists_another, "not_listed", "void"),
        (started_a_while_ago, "not_listed", "void"),
        (refuses, "in_doubt", "owed"),
        (just_started, "in_doubt", "owed"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_the_alertmanager_says_decides(
    post: Post, mail: Channel, server: Lister, says: Callable[[Lister], None], result: str, state: str
) -> None:
    come_back(post)
    says(server)
    assert ask_and_decide() == {result: 1}
    assert last_of(mail) == ("refired", state, "unconfirmed" if state == "void" else "")


@pytest.mark.parametrize(
    ("other", "result"),
    [(all_quiet, "listed"), (refuses, "listed"), (just_started, "listed"), (lists_it, "listed")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_one_of_a_pair_that_lists_it_is_enough(
    post: Post,
    mail: Channel,
    server: Lister,
    monkeypatch: pytest.MonkeyPatch,
    other: Callable[[Lister], None],
    result: str,
) -> None:
    come_back(post)
    with lister() as second:
        monkeypatch.setenv("ALERTMANAGER_URL", f"{second.url},{server.url}")
        server.alerts = [LISTED]
        other(second)
        assert ask_and_decide() == {result: 1}


@pytest.mark.parametrize("other", [refuses, just_started], ids=lambda value: value.__name__)
def test_one_of_a_pair_that_can_not_be_believed_is_a_doubt(
    post: Post, mail: Channel, server: Lister, monkeypatch: pytest.MonkeyPatch, other: Callable[[Lister], None]
) -> None:
    come_back(post)
    with lister() as second:
        monkeypatch.setenv("ALERTMANAGER_URL", f"{second.url},{server.url}")
        other(second)
        assert ask_and_decide() == {"in_doubt": 1}
    assert last_of(mail)[1] == "owed"


def test_a_return_that_nobody_lists_is_closed_with_the_end_that_was_heard(
    post: Post, mail: Channel, server: Lister
) -> None:
    come_back(post)
    ask_and_decide()
    alert = Alert.objects.get()
    assert (alert.state, alert.closed_by) == ("resolved", "unconfirmed")
    assert alert.ends_at is not None
    assert alert.ends_at.isoformat() == "2026-11-24T10:01:00+00:00"
    identity = AlertIdentity.objects.get()
    assert (identity.state, identity.version) == ("resolved", 4)
    transition = AlertTransition.objects.latest("id")
    assert (transition.kind, transition.source, transition.webhook) == ("unconfirmed", "relay", None)


def test_the_end_of_a_stale_firing_changes_nothing_more(post: Post, mail: Channel, server: Lister) -> None:
    come_back(post)
    ask_and_decide()
    assert post(resolved(end=70)).json()["changes"] == 0
    assert last_of(mail)[1] == "void"


def test_a_true_return_after_a_stale_one_is_asked_about_and_told(post: Post, mail: Channel, server: Lister) -> None:
    come_back(post)
    ask_and_decide()
    post(firing())
    server.alerts = [LISTED]
    assert ask_and_decide() == {"listed": 1}
    post(resolved(end=90))
    rows = Notification.objects.order_by("id").values_list("kind", "state")
    assert list(rows)[2:] == [("refired", "void"), ("refired", "owed"), ("resolved", "owed")]


def test_one_question_is_about_all_episodes_and_all_channels(
    post: Post, mail: Channel, hook: Channel, server: Lister
) -> None:
    Channel.objects.update(matchers="")
    come_back(post, *(f"{number:x}a" for number in range(60)))
    assert ask_and_decide() == {"not_listed": 60}
    assert server.asked == ["/api/v2/alerts", "/api/v2/status"]
    assert Notification.objects.filter(state="void").count() == 120


def test_nothing_is_asked_when_nothing_waits(post: Post, mail: Channel, server: Lister) -> None:
    post(firing())
    assert not confirmation.pending()
    assert ask_and_decide() == {}
    assert server.asked == []


@pytest.mark.parametrize("listed", [True, False])
def test_what_changed_since_the_question_is_asked_about_again(
    post: Post, mail: Channel, server: Lister, listed: bool
) -> None:
    come_back(post)
    asked = confirmation.questions()
    post(resolved(end=80))
    post(firing())
    server.alerts = [LISTED] if listed else []
    assert confirmation.decide(asked)["overtaken"] == 1
    assert last_of(mail) == ("refired", "unconfirmed", "")
    assert kinds()[-2:] == ["resolved", "refired"]


@pytest.mark.parametrize("first", ["listed", "not listed"])
def test_a_second_relay_that_asked_at_the_same_time_decides_nothing(
    post: Post, mail: Channel, server: Lister, first: str
) -> None:
    come_back(post)
    asked = confirmation.questions()
    server.alerts = [LISTED] if first == "listed" else []
    confirmation.decide(asked)
    server.alerts = [] if first == "listed" else [LISTED]
    before = list(Notification.objects.values("state", "reason")), kinds()
    assert confirmation.decide(asked)["overtaken"] == 1
    assert (list(Notification.objects.values("state", "reason")), kinds()) == before


def test_a_wrong_setting_is_a_doubt_and_the_return_is_told(
    post: Post, mail: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_back(post)
    monkeypatch.setenv("ALERTMANAGER_URL", "alertmanager:9093")
    assert ask_and_decide() == {"in_doubt": 1}


def test_the_earlier_messages_of_the_episode_are_left_alone(post: Post, mail: Channel, server: Lister) -> None:
    come_back(post)
    ask_and_decide()
    assert list(Notification.objects.order_by("id").values_list("state", flat=True)) == ["owed", "owed", "void"]


@pytest.fixture
def destination(vendor: str) -> Iterator[Receiver]:
    with receiver() as made:
        channel = Channel(name="hook", kind="webhook")
        channel.secrets = {"url": made.url, "secret": "s3cret"}
        channel.save()
        yield made


def told(destination: Receiver) -> list[str]:
    return [json.loads(got.body)["kind"] for got in list(destination.got)]


@THREADS
def test_a_true_return_is_told_within_a_second(post: Post, destination: Receiver, server: Lister) -> None:
    server.alerts = [LISTED]
    come_back(post)
    worker, began = Relay(), time.monotonic()
    loop = threading.Thread(target=worker.run)
    loop.start()
    until(lambda: len(destination.got) == 3)
    took = time.monotonic() - began
    worker.stop.set()
    loop.join(10)
    assert took < 2
    assert told(destination) == ["firing", "resolved", "refired"]


@THREADS
def test_an_alertmanager_that_hangs_holds_up_nobody_elses_message(
    post: Post, destination: Receiver, server: Lister
) -> None:
    stop = threading.Event()
    server.fault = dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[", stop)
    come_back(post)
    worker = Relay()
    worker.step()
    until(lambda: server.asked)
    post(firing("b2"))
    until(lambda: (worker.step(), len(destination.got) == 3)[1], 3, "b2 is told while a1 is asked about")
    assert last_of(Channel.objects.get())[1] != "unconfirmed"
    stop.set()
    until(lambda: (worker.step(), len(destination.got) == 4)[1], 10, "a1 is told after all")
    worker.stop.set()
    worker.run()


def striking(process: list[Process], number: int) -> Callable[[], None]:
    """Return what signals a relay once from inside its question: between asking and deciding."""

    def strike() -> None:
        until(lambda: process)
        if len(process) == 1:
            process[0].signal(number)
            process.append(process[0])

    return strike


@pytest.mark.processes
@THREADS
@pytest.mark.parametrize("listed", [True, False])
def test_a_relay_that_dies_between_question_and_decision_leaves_it_to_the_next(
    post: Post, destination: Receiver, server: Lister, tmp_path: Path, listed: bool
) -> None:
    server.alerts = [LISTED] if listed else []
    come_back(post)
    env = environment(ALERTMANAGER_URL=server.url, RELAY_SEND_DEADLINE="1", RELAY_LEASE="3")
    killed: list[Process] = []
    server.before = striking(killed, signal.SIGKILL)
    with relay(tmp_path, env) as (process, _):
        killed.append(process)
        until(lambda: not process.alive(), 10, "killed while it asked")
    assert Notification.objects.filter(kind="refired", state="unconfirmed").count() == 1
    with relay(tmp_path, env):
        until(lambda: not Notification.objects.exclude(state__in=("delivered", "void")).exists(), 15)
    assert sorted(set(told(destination))) == (["firing", "refired", "resolved"] if listed else ["firing", "resolved"])


@pytest.mark.processes
@THREADS
def test_a_relay_that_was_paused_while_it_asked_does_not_overrule_what_came_since(
    post: Post, destination: Receiver, server: Lister, tmp_path: Path
) -> None:
    env = environment(ALERTMANAGER_URL=server.url, RELAY_SEND_DEADLINE="1", RELAY_LEASE="3")
    post(firing())
    post(resolved())
    with relay(tmp_path, env):
        # told before: a relay that is paused while it records a delivery holds the lock of all of SQLite
        until(lambda: Notification.objects.filter(state="delivered").count() == 2, 15)
    post(firing())
    paused: list[Process] = []
    server.before = striking(paused, signal.SIGSTOP)
    with relay(tmp_path, env) as (process, _):
        paused.append(process)
        until(lambda: len(paused) == 2, 10, "paused while it asked")
        until(lambda: server.asked.count("/api/v2/alerts") == 1)
        post(resolved(end=80))
        post(firing())
        server.alerts = [LISTED]  # what the paused one was told is old now
        with relay(tmp_path, env):
            until(lambda: Notification.objects.filter(kind="refired", ordinal=2, state="delivered").exists(), 15)
        process.signal(signal.SIGCONT)
        until(lambda: "overtaken=1" in process.text(), 10, "the paused one finds that its question is old")
    assert kinds() == ["firing", "resolved", "refired", "resolved", "refired"]
    assert AlertIdentity.objects.get().state == "firing"
