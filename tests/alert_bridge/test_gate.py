"""The gate: intake is exact, whoever sends at once. Recordings of real Alertmanagers, and random overlapping webhooks."""

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from tests.alert_bridge.recordings import EXPECTED
from tests.alert_bridge.table import Model, Word
from tests.alert_bridge.words import firing, resolved, webhook
from userdb.models import Alert, AlertIdentity, AlertTransition, Channel, Notification, WebhookEvent
from userdb.transactions import RERUNS

pytestmark = [
    pytest.mark.gate,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("vendor"),
]

FIXTURES = Path(__file__).parent.parent / "fixtures" / "alertmanager"
LETTERS = {
    "firing": "F", "resolved": "R", "refired": "A", "superseded": "S", "unheard": "U", "started_earlier": "E",
    "end_known": "K",
}  # fmt: skip


Answer = tuple[int, str]
"""(status, the error that its body names)."""


class Senders:
    """Several senders with one connection each; `together` lets all of them send at the same moment."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)
        self._barrier = threading.Barrier(count)

    def together(self, method: str, body: bytes) -> list[Answer]:
        def send() -> Answer:
            self._barrier.wait(30)
            return post(body, method)

        return [future.result() for future in [self._pool.submit(send) for _ in range(self.count)]]

    def share(self, bodies: list[bytes]) -> list[Answer]:
        return list(self._pool.map(post, bodies))

    def close(self) -> None:
        def end() -> None:
            self._barrier.wait(30)
            connections.close_all()

        for future in [self._pool.submit(end) for _ in range(self.count)]:
            future.result()
        self._pool.shutdown()


def post(body: bytes, method: str = "POST") -> Answer:
    headers = {"Authorization": "Bearer webhook-token"}
    response: Any = Client().generic(
        method, "/webhooks/alertmanager", body, content_type="application/json", headers=headers
    )
    return int(response.status_code), str(response.json()["error"])


@pytest.fixture(params=[1, 2, 4], ids="{} senders".format)
def senders(request: pytest.FixtureRequest) -> Iterator[Senders]:
    made = Senders(request.param)
    yield made
    made.close()


def wipe() -> None:
    for model in (Notification, AlertTransition, Alert, AlertIdentity, WebhookEvent):
        model.objects.all().delete()


def mark(notification: Notification) -> str:
    return {"void": "!", "unconfirmed": "?"}.get(notification.state, "")


def seen() -> list[str]:
    """Return what userdb holds, one line an alert in the order of first appearance, written as in `recordings.py`."""
    lines = []
    for first in AlertTransition.objects.filter(version=1).order_by("id").select_related("identity"):
        changes = [LETTERS[t.kind] for t in first.identity.transitions.order_by("version")]
        owed = [n.kind + mark(n) for n in first.identity.notifications.order_by("id")]
        lines.append(" ".join([*changes, "|", *owed]))
    return lines


def test_every_recording_has_its_expectation_and_the_other_way_round() -> None:
    assert {f"{path.parent.name}/{path.stem}" for path in FIXTURES.glob("*/*.json")} == set(EXPECTED)


def test_every_recording_becomes_what_was_posted_to_alertmanager(senders: Senders) -> None:
    Channel.objects.create(name="all", kind="email")
    wrong = {}
    for name, expected in EXPECTED.items():
        wipe()
        for request in json.loads((FIXTURES / f"{name}.json").read_text())["requests"]:
            answers = senders.together(request["method"], request["body"].encode())
            assert {status for status, _ in answers} == {200 if request["method"] == "POST" else 405}
        if sorted(seen()) != sorted(expected):
            wrong[name] = (seen(), expected)
        for identity in AlertIdentity.objects.all():
            assert_exact(identity, {"all": True})
    assert wrong == {}


def assert_exact(identity: AlertIdentity, channels: dict[str, bool]) -> Model:
    """Compare an identity's rows with what the table makes of its words; return the table's last state."""
    model = Model(channels)
    for word, kinds in words_of(identity):
        assert model.apply(word) == kinds
    rows = [
        (a.number, a.starts_at, a.highest_start, a.state == "firing", a.ends_at, a.closed_by)
        for a in identity.alerts.order_by("number")
    ]
    assert rows == [(i, r.low, r.high, r.open, r.end, r.by) for i, r in enumerate(model.rows, 1)]
    for channel in Channel.objects.all():
        told = identity.notifications.filter(channel=channel).order_by("id").select_related("alert")
        owed = [(n.alert.number, n.kind, n.ordinal, mark(n)) for n in told if n.alert]
        assert owed == model.owed.get(channel.name, [])
    opened = identity.alerts.filter(state="firing").values_list("number", flat=True).first()
    assert opened == (len(model.rows) if model.rows[-1].open else None)
    assert identity.state == ("firing" if opened else "resolved")
    assert identity.version == len(model.kinds)
    return model


def some_alerts(chance: random.Random, step: int) -> list[dict[str, Any]]:
    """Return 1 to 100 words about 150 alerts whose starts and ends grow with the step, but overlap and go back."""
    alerts = []
    for number in chance.sample(range(150), chance.randint(1, 100)):
        start = 10 * max(0, step // 20 + chance.randint(-4, 2))
        if chance.random() < 0.5:
            alerts.append(firing(f"{number:x}e", start))
        else:
            alerts.append(resolved(f"{number:x}e", start, start + chance.choice([0.5, 9, 15, 40])))
    return alerts


def words_of(identity: AlertIdentity) -> list[tuple[Word, list[str]]]:
    """Return the words that changed an identity, in the order of their versions, each with the kinds it brought."""
    words: list[tuple[Word, list[str]]] = []
    kinds: list[str] = []
    for t in identity.transitions.order_by("version"):
        kinds.append(t.kind)
        if t.kind != "superseded":
            letter = "F" if t.kind in ("firing", "refired", "started_earlier") else "R"
            assert t.starts_at is not None
            words.append(((letter, t.starts_at, t.ends_at), kinds))
            kinds = []
    assert kinds == []
    return words


def as_word(entry: dict[str, Any]) -> Word:
    end = datetime.fromisoformat(entry["endsAt"]) if entry["status"] == "resolved" else None
    return "F" if end is None else "R", datetime.fromisoformat(entry["startsAt"]), end


def test_overlapping_random_webhooks_from_four_senders_are_exact() -> None:
    chance = random.Random(20261124)
    Channel.objects.create(name="all", kind="email")
    Channel.objects.create(name="beginnings", kind="email", send_resolved=False)
    Channel.objects.create(name="nothing", kind="email", matchers="tenant=beta")
    senders = Senders(4)
    contents = [some_alerts(chance, step) for step in range(1000)]
    answers = senders.share([webhook(*alerts) for alerts in contents])
    last = {entry["fingerprint"]: entry for alerts in contents for entry in alerts}
    assert {post(webhook(entry)) for entry in last.values()} == {(200, "")}
    senders.close()
    # what the deadline refused was never applied, Alertmanager would send it again; nothing else may be refused
    refused = [(status, error) for status, error in answers if status != 200]
    assert [error for status, error in refused if status != 503 or "no success within 6 s" not in error] == []
    assert len(refused) < 100
    reruns = {s.labels["reason"]: s.value for m in RERUNS.collect() for s in m.samples if s.name.endswith("_total")}
    print(f"refused by the deadline {len(refused)}, reruns {reruns}")
    versions = 0
    for identity in AlertIdentity.objects.all():
        model = assert_exact(identity, {"all": True, "beginnings": False})
        assert model.apply(as_word(last[identity.pk])) == []
        versions += identity.version
    assert versions > 3000
