"""More webhooks at once than the bridge can take on: what Alertmanager opens in a moment is served, the rest refused."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import transaction

from alert_bridge import admission
from tests.alert_bridge.processes import Answer, ask, environment, tell, web
from tests.alert_bridge.receivers import until
from tests.alert_bridge.words import firing, webhook
from userdb.models import Alert, AlertIdentity
from userdb.router import alias

REAL = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("vendor"),
]


def real(test: Callable[..., None]) -> Callable[..., None]:
    for mark in REAL:
        test = mark(test)
    return test


def at_once(site: str, count: int) -> list[tuple[Answer, float]]:
    """Send one webhook on each of so many connections at the same moment; return answers and seconds.

    One alert is in all of them, so that whoever holds its lock holds all of them up.
    """
    barrier = threading.Barrier(count)

    def send(number: int) -> tuple[Answer, float]:
        barrier.wait(20)
        began = time.monotonic()
        return tell(site, webhook(firing("0"), firing(f"{number:x}f"))), time.monotonic() - began

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))


@real
@pytest.mark.gate
def test_two_hundred_groups_at_once_are_all_served_within_five_seconds(tmp_path: Path) -> None:
    with web(tmp_path) as (_, site, _):
        answers = at_once(site, 200)
    assert Counter(answer.status for answer, _ in answers) == {200: 200}
    assert max(seconds for _, seconds in answers) < 5
    assert Alert.objects.count() == 201


@real
@pytest.mark.processes
def test_what_is_beyond_the_queue_is_refused_and_the_bridge_goes_on(tmp_path: Path) -> None:
    env = environment(WEBHOOK_QUEUE="10", SELFWATCH_INTERVAL="0.2", WATCHDOG_TIMEOUT="0")
    with web(tmp_path, env) as (process, site, metrics):
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic(using=alias()):
                AlertIdentity.objects.create(fingerprint="0")
                sent = pool.submit(at_once, site, 60)
                until(lambda: ask(f"{metrics}/healthz").status == 200)
                threading.Event().wait(0.4)
            answers = sent.result(30)
        statuses = Counter(answer.status for answer, _ in answers)
        assert statuses[200] >= 10
        assert set(statuses) == {200, 503}
        refused = [answer for answer, _ in answers if answer.status == 503]
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert "requests wait already" in refused[0].text
        assert f'mission_webhooks_total{{result="storm"}} {len(refused)}.0' in ask(f"{metrics}/metrics").text
        assert tell(site, webhook(firing("ff"))).status == 200
        until(lambda: AlertIdentity.objects.filter(alertname="WebhookStorm", state="firing").exists(), what="told")
        assert process.alive()
        assert process.text().count("webhook refused") == 1
        assert "django.request" not in process.text()


@real
@pytest.mark.processes
def test_webhooks_with_a_wrong_token_are_told(tmp_path: Path) -> None:
    with web(tmp_path, environment(SELFWATCH_INTERVAL="0.2")) as (_, site, _):
        for _ in range(3):
            answer = ask(f"{site}/webhooks/alertmanager", webhook(firing()), Authorization="Bearer old")
            assert answer.status == 401
        names = AlertIdentity.objects.filter(origin="bridge", state="firing").values_list("alertname", flat=True)
        until(lambda: list(names.all()) == ["WebhookTokenRefused"], what="told")


@pytest.mark.parametrize(
    ("environ", "refused"),
    [
        ({}, False),
        ({"mission.waiting": 500, "mission.waited": 5.0}, False),
        ({"mission.waiting": 501, "mission.waited": 0.0}, True),
        ({"mission.waiting": 0, "mission.waited": 5.1}, True),
    ],
    ids=["another server", "just so", "too many wait", "it waited too long"],
)
def test_what_is_taken_on(environ: dict[str, float], refused: bool) -> None:
    assert (admission.refusal(environ) is not None) == refused


@pytest.mark.parametrize(("waited", "left"), [(0.0, 6.0), (3.5, 6.0), (5.0, 4.5)])
def test_what_has_waited_has_less_time_for_userdb_before_alertmanager_hangs_up(waited: float, left: float) -> None:
    assert admission.time_left({"mission.waited": waited}, 6.0) == left
