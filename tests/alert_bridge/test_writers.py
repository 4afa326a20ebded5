"""Web, its tick, relay and route_management write into one userdb at once, as real processes: nobody is refused.

20 s by default; WRITERS_SECONDS=60 runs it for as long as the project's gate asks for.
"""

import json
import os
import random
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from tests.alert_bridge.processes import Answer, ask, environment, relay, running, tell, web
from tests.alert_bridge.receivers import receiver, until
from tests.alert_bridge.words import firing, resolved, webhook
from tests.mariadb import free_port
from userdb import tokens
from userdb.models import Alert, Channel, DeliveryAttempt, MonitorEvent, Notification, Tenant

FAST = {"REPORTS_REQUESTS_PER_SECOND": "100000", "REPORTS_EVENTS_PER_SECOND": "1000000"}
SECONDS = float(os.environ.get("WRITERS_SECONDS", "20"))

pytestmark = [
    pytest.mark.gate,
    pytest.mark.timeout(SECONDS + 240),
    pytest.mark.django_db(transaction=True, databases="__all__"),
]


class Writers:
    """Senders in threads, each one request after the other, until the time is over."""

    def __init__(self) -> None:
        self.ends = time.monotonic() + SECONDS
        self.answers: list[tuple[str, Answer]] = []
        self.slowest = 0.0
        self._threads: list[threading.Thread] = []

    def start(self, site: str, gateway: str, token: str) -> None:
        for number in range(3):
            self._start(lambda chance: ("webhook", tell(site, webhook(*some_alerts(chance, self.ends)))), number)
        for number in range(2):
            self._start(lambda chance: ("report", report(gateway, token, chance.randint(1, 5))), 10 + number)

    def _start(self, send: object, seed: int) -> None:
        def work() -> None:
            chance = random.Random(seed)
            while time.monotonic() < self.ends:
                began = time.monotonic()
                self.answers.append(send(chance))  # type: ignore[operator]
                self.slowest = max(self.slowest, time.monotonic() - began)

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def some_alerts(chance: random.Random, ends: float) -> list[dict[str, object]]:
    """Return 1 to 30 words about 100 alerts that begin anew every few seconds, so that what waits is made void too."""
    step = 5 * int((SECONDS - (ends - time.monotonic())) / 3)
    alerts = []
    for number in chance.sample(range(100), chance.randint(1, 30)):
        start = max(0, step + chance.choice([-5, 0, 0, 5]))
        word = firing if chance.random() < 0.6 else resolved
        alerts.append(word(f"{number:x}e", start))
    return alerts


def report(gateway: str, token: str, events: int) -> Answer:
    rows = [{"id": str(uuid.uuid4()), "message": "it failed", "failure_type": "timeout"} for _ in range(events)]
    body = json.dumps({"events": rows}).encode()
    return ask(f"{gateway}/api/v1/events", body, Authorization=f"Bearer {token}", Content_Type="application/json")


def reruns(*metrics: str) -> dict[str, float]:
    """Return how many transactions were run again, by reason, over all processes."""
    found: Counter[str] = Counter()
    for url in metrics:
        for line in ask(f"{url}/metrics").text.splitlines():
            if line.startswith("mission_userdb_reruns_total{"):
                labels, value = line.rsplit(" ", 1)
                found[labels.split('"')[1]] += int(float(value))
    return dict(found)


def test_all_write_at_once_and_nobody_is_refused(vendor: str, tmp_path: Path) -> None:
    token = tokens.create(Tenant.objects.create(name="alpha"), "tests")[0]
    ports = free_port(), free_port()
    flags = [f"--{name}.listen-address=127.0.0.1:{port}" for name, port in zip(("web", "metrics"), ports, strict=True)]
    gateway, gateway_metrics = (f"http://127.0.0.1:{port}" for port in ports)
    with (
        receiver() as server,
        web(tmp_path) as (_, site, site_metrics),
        relay(tmp_path) as (_, relay_metrics),
        running("route-management", "web", *flags, env=environment() | FAST, folder=tmp_path, ready=f"{gateway}/"),
    ):
        for name in ("hook", "second"):
            channel = Channel(name=name, kind="webhook")
            channel.secrets = {"url": server.url, "secret": "s3cret"}
            channel.save()
        writers = Writers()
        writers.start(site, gateway, token)
        writers.join()
        again = reruns(site_metrics, relay_metrics, gateway_metrics)
        until(lambda: not Notification.objects.exclude(state__in=["delivered", "void"]).exists(), 120, "all delivered")
        log = relay_metrics, ask(f"{relay_metrics}/readyz").text, ask(f"{site_metrics}/readyz").text
    statuses = Counter((kind, answer.status) for kind, answer in writers.answers)
    print(
        f"{vendor}: {dict(statuses)}, slowest {writers.slowest:.2f} s, run again {again}, delivered {len(server.got)}"
    )
    assert set(statuses) == {("webhook", 200), ("report", 200)}
    accepted = sum(json.loads(answer.body)["accepted"] for kind, answer in writers.answers if kind == "report")
    assert MonitorEvent.objects.count() == accepted > 0
    assert Alert.objects.count() > 100
    # nobody was told twice, and what was told is what is kept
    assert DeliveryAttempt.objects.exclude(outcome="delivered").count() == 0
    told = Notification.objects.filter(state="delivered").values_list("key", flat=True)
    assert Counter(server.keys()) == Counter(told)
    assert "503" not in str(log)
