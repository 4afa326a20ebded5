"""The gate, with the Alertmanagers' word beside the webhooks: two deciders and two reconcilers race four senders.

What they decide leaves its trace in transitions and in the states of messages; from these alone a test says whether each
channel was told a story that makes sense: never an end twice, never an end of what it was not told, nothing left waiting.
"""

import random
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from django.db import connections

from alert_bridge import confirmation
from alert_bridge.reconcile import Reconcile
from tests.alert_bridge.alertmanagers import Lister, lister
from tests.alert_bridge.alertmanagers import listed as entry
from tests.alert_bridge.test_gate import Senders
from tests.alert_bridge.words import at, firing, resolved, webhook
from userdb.models import AlertIdentity, Channel, Notification

pytestmark = [
    pytest.mark.gate,
    pytest.mark.timeout(300),
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("vendor"),
]
NAMES = [f"{number:02x}e" for number in range(40)]


def until_stopped(stop: threading.Event, work: Callable[[], object], errors: list[BaseException]) -> threading.Thread:
    def loop() -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001  (told by the test)
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=loop)
    thread.start()
    return thread


def lists_at_random(server: Lister, chance: random.Random) -> Callable[[], None]:
    def change() -> None:
        server.alerts = [
            entry(name, at(10 * chance.randint(0, 4)), chance.choice(["active", "suppressed"]), silenced_by=["s-1"])
            for name in chance.sample(NAMES, 20)
        ]

    return change


def story(identity: AlertIdentity, channel: Channel) -> list[tuple[int, str]]:
    """Return what the channel is told, in order: (episode, kind)."""
    rows = identity.notifications.filter(channel=channel).exclude(state="void").order_by("id").select_related("alert")
    return [(row.alert.number, row.kind) for row in rows if row.alert is not None]


def assert_it_makes_sense(identity: AlertIdentity) -> None:
    versions = list(identity.transitions.order_by("version").values_list("version", "kind"))
    assert [version for version, _ in versions] == list(range(1, identity.version + 1))
    kinds = [kind for _, kind in versions if kind != "end_known"]  # of an earlier episode: changes nothing else
    for before, kind in pairwise(kinds):
        if kind == "unconfirmed":
            assert before in ("refired", "started_earlier"), kinds
        if before in ("resolved", "unconfirmed", "unheard"):
            assert kind in ("refired", "firing", "unheard"), kinds
    assert identity.alerts.filter(state="firing").count() == (1 if identity.state == "firing" else 0)
    for channel in Channel.objects.all():
        open_ones: set[int] = set()
        for number, kind in story(identity, channel):
            if kind == "resolved":
                assert number in open_ones, (identity.pk, story(identity, channel), kinds)
                open_ones.remove(number)
            else:
                assert number not in open_ones, (identity.pk, story(identity, channel), kinds)
                open_ones.add(number)


def test_senders_deciders_and_reconcilers_at_once_tell_each_channel_a_story_that_makes_sense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("RECONCILE_GRACE", "RECONCILE_UNSENT_AFTER", "ALERTMANAGER_MIN_UPTIME"):
        monkeypatch.setenv(variable, "0")
    Channel.objects.create(name="all", kind="email")
    Channel.objects.create(name="some", kind="email", matchers="tenant=alpha")
    chance, errors, stop = random.Random(6), list[BaseException](), threading.Event()
    senders = Senders(4)
    with lister() as server:
        server.before = lists_at_random(server, chance)
        monkeypatch.setenv("ALERTMANAGER_URL", server.url)
        workers = [until_stopped(stop, lambda: confirmation.decide(confirmation.questions()), errors) for _ in range(2)]
        workers += [until_stopped(stop, Reconcile().step, errors) for _ in range(2)]
        bodies = []
        for _ in range(250):
            words = []
            for name in chance.sample(NAMES, 8):
                start = 10 * chance.randint(0, 4)
                words.append(firing(name, start) if chance.random() < 0.5 else resolved(name, start, start + 5))
            bodies.append(webhook(*words))
        answers = senders.share(bodies)
        stop.set()
        for worker in workers:
            worker.join(60)
        server.before, server.alerts = None, []
        while confirmation.pending():
            confirmation.decide(confirmation.questions())
    senders.close()
    assert errors == []
    assert {status for status, _ in answers} <= {200, 503}
    assert not Notification.objects.filter(state="unconfirmed").exists()
    kinds = set()
    for identity in AlertIdentity.objects.all():
        assert_it_makes_sense(identity)
        kinds |= set(identity.transitions.values_list("kind", "source"))
    # the race was one: each of them has had its say
    assert {("unconfirmed", "relay"), ("resolved", "reconciliation"), ("refired", "webhook")} <= kinds
