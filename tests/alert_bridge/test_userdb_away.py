"""userdb goes away and comes back: a MariaDB of the test's own, stopped and started under real processes."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import settings as tests_settings
from tests.alert_bridge.processes import ask, environment, relay, tell, web
from tests.alert_bridge.receivers import receiver, status, until
from tests.alert_bridge.words import firing, webhook
from tests.mariadb import MariaDB, free_port, program
from userdb import secrets

pytestmark = [pytest.mark.gate, pytest.mark.timeout(120)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MariaDB]:
    if not tests_settings.WITH_MYSQL:
        pytest.skip("USERDB=sqlite")
    made = MariaDB(tmp_path / "db", free_port())
    made.folder.mkdir()
    made.start()
    migrate(made)
    yield made
    made.stop(signal.SIGKILL)


def migrate(server: MariaDB) -> None:
    command = [sys.executable, Path(__file__).parent.parent.parent / "manage.py", "migrate"]
    subprocess.run(command, env=environment(server.url), check=True, capture_output=True)


def rows(server: MariaDB, sql: str) -> list[list[str]]:
    """Return what a SELECT finds, as the client prints it."""
    client = [program("mariadb"), "--no-defaults", "--user=root", f"--socket={server.folder / 's'}", "-N", "-B"]
    text = subprocess.run([*client, "userdb", "-e", sql], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in text.splitlines()]


def test_webhooks_are_503_while_userdb_is_away_and_taken_when_it_is_back(server: MariaDB, tmp_path: Path) -> None:
    with web(tmp_path, environment(server.url)) as (process, site, metrics):
        assert tell(site, webhook(firing("a1"))).status == 200
        until(lambda: ask(f"{metrics}/readyz").status == 200)
        server.stop(signal.SIGKILL)
        refused = tell(site, webhook(firing("b2")))
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert "userdb" in json.loads(refused.body)["error"]
        ready = ask(f"{metrics}/readyz")
        assert (ready.status, "userdb: userdb can't be reached" in ready.text) == (503, True)
        assert "channel secrets: not known while userdb can't be reached" in ready.text
        assert ask(f"{metrics}/healthz").status == 200
        assert "mission_userdb_up 0.0" in ask(f"{metrics}/metrics").text
        # three failed ticks: what is no longer known is no longer said
        until(lambda: "mission_policies_loaded 0.0" in ask(f"{metrics}/metrics").text, 30)
        assert "mission_policy_threshold{" not in ask(f"{metrics}/metrics").text
        server.start()
        assert tell(site, webhook(firing("b2"))).status == 200
        until(lambda: ask(f"{metrics}/readyz").status == 200, 20)
        until(lambda: "mission_policies_loaded 1.0" in ask(f"{metrics}/metrics").text, 20)
        assert 'mission_webhooks_total{result="unavailable"} 1.0' in ask(f"{metrics}/metrics").text
        assert process.alive()
    assert rows(server, "SELECT fingerprint FROM userdb_alertidentity ORDER BY 1") == [["a1"], ["b2"]]


def test_a_result_is_recorded_when_userdb_is_back_and_nothing_is_told_twice(server: MariaDB, tmp_path: Path) -> None:
    away, answered = threading.Event(), threading.Event()

    def stopping(request: Any) -> None:
        hook.answer = status(200)
        server.stop(signal.SIGKILL)
        away.set()
        status(200, b"taken")(request)
        answered.set()

    with (
        receiver(stopping) as hook,
        web(tmp_path, environment(server.url)) as (_, site, _),
        relay(tmp_path, environment(server.url)) as (process, url),
    ):
        token = secrets.encrypt({"url": hook.url, "secret": "s3cret"})
        server.run(
            "INSERT INTO userdb.userdb_channel (name, kind, config, tenants, secret_token, matchers, updated_at) "
            "VALUES ('hook', 'webhook', '{}', '[]', 'TOKEN', '', UTC_TIMESTAMP(6))".replace("TOKEN", token)
        )
        assert tell(site, webhook(firing("a1"))).status == 200
        assert answered.wait(20)
        until(lambda: "mission_userdb_up 0.0" in ask(f"{url}/metrics").text)
        assert process.alive()
        server.start()
        tries = "SELECT number, outcome, after_lease, answer FROM userdb_deliveryattempt"
        until(lambda: rows(server, tries) == [["1", "delivered", "0", "taken"]], 20, "recorded")
        until(lambda: "mission_userdb_up 1.0" in ask(f"{url}/metrics").text)
        assert rows(server, "SELECT state FROM userdb_notification") == [["delivered"]]
        assert len(hook.got) == 1
