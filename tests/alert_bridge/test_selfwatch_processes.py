"""Two real `alert-bridge reconcile` beside each other: one episode, its end, the heartbeat; killed at any moment."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.processes import Process, ask, environment, relay, running
from tests.alert_bridge.receivers import Receiver, receiver, until
from tests.alert_bridge.words import firing
from tests.mariadb import free_port
from userdb.models import Alert, Channel

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("vendor"),
]


def quick(**more: str) -> dict[str, str]:
    times = {
        "WATCHDOG_TIMEOUT": "2",
        "SELFWATCH_INTERVAL": "0.2",
        "SELFWATCH_CLEAR": "0.3",
        "HEARTBEAT_INTERVAL": "0.2",
    }
    return environment(**(times | {"ALERTMANAGER_URL": f"http://127.0.0.1:{free_port()}"} | more))


@contextmanager
def reconcile(folder: Path, env: dict[str, str]) -> Iterator[tuple[Process, str]]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    flags = [f"--web.listen-address=127.0.0.1:{port}"]
    with running("alert-bridge", "reconcile", *flags, env=env, folder=folder, ready=f"{url}/healthz") as process:
        yield process, url


@pytest.fixture
def chat(vendor: str) -> Iterator[Receiver]:
    with receiver() as made:
        channel = Channel(name="chat", kind="webhook", matchers='severity="critical"')
        channel.secrets = {"url": made.url, "secret": "s3cret"}
        channel.save()
        yield made


def states() -> list[tuple[int, str]]:
    rows = Alert.objects.filter(identity__alertname="WatchdogMissing").order_by("number")
    return list(rows.values_list("number", "state"))


def test_a_missing_watchdog_is_told_once_by_two_watchers_and_its_return_too(
    post: Post, chat: Receiver, tmp_path: Path
) -> None:
    env = quick()
    with relay(tmp_path, env), reconcile(tmp_path, env) as (first, _), reconcile(tmp_path, env):
        until(lambda: states() == [(1, "firing")], 20, "told")
        first.signal(signal.SIGKILL)
        # the one that is left goes on saying it
        until(lambda: len(chat.got) == 1, 20, "delivered")
        post(firing("dead", alertname="Watchdog", severity="none"))
        until(lambda: states()[0] == (1, "resolved"), 20, "ended")
        until(lambda: len(chat.got) >= 2, 20, "the end delivered")
    kinds = [key.split(".")[-2] for key in chat.keys()[:2]]
    assert kinds == ["firing", "resolved"]


def test_the_heartbeat_goes_out_while_the_bridge_works(chat: Receiver, tmp_path: Path) -> None:
    with receiver() as outside:
        env = quick(HEARTBEAT_URL=f"{outside.url}/token-5f2c", WATCHDOG_TIMEOUT="0")
        with reconcile(tmp_path, env) as (process, url):
            until(lambda: len(outside.got) >= 2, 20, "called")
            assert 'mission_heartbeats_total{result="sent"}' in ask(f"{url}/metrics").text
            assert "self-watch: ok" in ask(f"{url}/readyz").text
            process.signal(signal.SIGTERM)
            assert process.wait() == 0
            assert "token-5f2c" not in process.text()
