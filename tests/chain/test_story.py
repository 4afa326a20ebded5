"""From a simulation that fails to an admin who is told: real OpenDSS, Prometheus, Alertmanager, bridge, relay, SMTP and HTTP.

Each story is `make smoke`; what it left in userdb and in the inbox is read here by plain SQL and from the inbox' own files.
"""

import json
import os
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.tally import OWED
from tests.chain.conftest import Run, until
from tests.mariadb import MariaDB, MissingServer, free_port

pytestmark = [pytest.mark.chain, pytest.mark.timeout(900)]

Query = Callable[[str], list[Any]]
LEGS = {
    "run_failed", "report_committed", "seen_in_recent_events", "firing_simulation_failing", "firing_repeated_failures",
    "webhook", "delivered_first", "delivered_all", "resolved",
}  # fmt: skip


def on_sqlite(run: Run) -> Query:
    def query(sql: str) -> list[Any]:
        with sqlite3.connect(run.var / "userdb.sqlite3") as connection:
            return connection.execute(sql).fetchall()

    return query


@pytest.fixture
def mariadb(tmp_path: Path) -> Iterator[MariaDB]:
    if os.environ.get("USERDB") == "sqlite":
        pytest.skip("USERDB=sqlite")
    server = MariaDB(tmp_path, free_port())
    try:
        server.start()
    except MissingServer as error:
        pytest.fail(str(error))
    yield server
    server.stop()


def on_mariadb(server: MariaDB) -> Query:
    import MySQLdb

    def query(sql: str) -> list[Any]:
        connection = MySQLdb.connect(
            host="127.0.0.1", port=server.port, user="root", database="userdb", charset="utf8mb4"
        )
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())
        finally:
            connection.close()

    return query


def inbox(run: Run) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((run.var / "inbox").glob("*.json"))]


def assert_the_story_stands(run: Run, query: Query) -> None:
    # a report that met a gateway without userdb is a failed request, and a row too
    failures = query(
        "SELECT tenant, event_type, task, failure_type, level FROM userdb_monitorevent WHERE event_type = 'gateway'"
    )
    assert [tuple(row) for row in failures] == [("demo", "gateway", "opendss-feeder", "no_convergence", "error")] * 3
    told = query(
        "SELECT i.alertname, n.kind, c.name, n.`key` FROM userdb_notification n "
        "JOIN userdb_alertidentity i ON i.fingerprint = n.identity_id JOIN userdb_channel c ON c.id = n.channel_id "
        "WHERE n.state = 'delivered'"
    )
    assert {tuple(row[:3]) for row in told} >= OWED
    letters = inbox(run)
    arrived = Counter(letter["key"] for letter in letters)
    assert {row[3] for row in told} <= set(arrived)
    assert {letter["signature"] for letter in letters} == {"", "good"}
    # what arrived twice is named by an attempt that says so
    unsure = query(
        "SELECT n.`key` FROM userdb_deliveryattempt a JOIN userdb_notification n ON n.id = a.notification_id "
        "WHERE a.outcome <> 'delivered' OR a.after_lease"
    )
    assert {key for key, count in arrived.items() if count > 1} <= {row[0] for row in unsure}


def assert_smoke_says_all_is_told(run: Run, seconds: float) -> None:
    assert run.wait(seconds) == 0, run.said()[-3000:]
    assert set(json.loads(run.said().splitlines()[-1])) == LEGS


def test_a_failing_simulation_is_told_and_its_end_too_on_mariadb(run: Run, mariadb: MariaDB) -> None:
    run.start("--smoke", USERDB_URL=mariadb.url)
    assert_smoke_says_all_is_told(run, 400)
    assert_the_story_stands(run, on_mariadb(mariadb))
    assert all(count == 1 for count in Counter(letter["key"] for letter in inbox(run)).values())


# Alertmanager forgets on SIGKILL what it has told. It hears again of what fires within 15 s, and only then may Prometheus
# be killed: an end of which neither knows the beginning any more is never sent
VICTIMS = ("alert-bridge web", "alert-bridge relay", "alertmanager .*config", "route-management web", "gateway-client serve",
           "local.inbox", "prometheus .*config")  # fmt: skip


def test_every_process_may_be_killed_once_and_nothing_is_lost(run: Run) -> None:
    run.start("--smoke")
    until(lambda: "the story begins" in run.said(), 120)
    killed: list[str] = []

    def kill_one_after_the_other() -> None:
        for pattern in VICTIMS:
            pid = run.pid(pattern)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed.append(pattern)
            threading.Event().wait(6)

    killer = threading.Thread(target=kill_one_after_the_other)
    killer.start()
    try:
        assert_smoke_says_all_is_told(run, 400)
    finally:
        killer.join()
    assert killed == list(VICTIMS)
    assert_the_story_stands(run, on_sqlite(run))
