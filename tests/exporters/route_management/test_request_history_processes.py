"""The history's writer in a real `route-management web`: floods, userdb away, the end of the process."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exporters.route_management import floods
from tests.exporters.route_management.processes import migrate, rows_of, run, serving
from tests.mariadb import MariaDB

pytestmark = pytest.mark.processes


def _rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "userdb.sqlite3")) as database:
        return database.execute(sql).fetchall()


def test_refused_strangers_are_a_few_rows_at_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'userdb.sqlite3'}"
    migrate(url)
    with serving(url, tmp_path / "log") as web:
        for _ in range(30):
            assert web.report("mm_" + "x" * 43)[0] == 401
        assert web.stop() == 0
    rows = _rows(tmp_path, "SELECT tenant, failure_type, detail FROM userdb_monitorevent")
    assert len(rows) <= 2 * (floods.FIRST + 1)  # a minute may have ended meanwhile
    assert {row[:2] for row in rows} == {("unknown", "auth")}
    assert _rows(tmp_path, "SELECT SUM(requests), outcome FROM userdb_requestrollup GROUP BY outcome") == [(30, "auth")]


@pytest.mark.gate
def test_userdb_away_slows_no_request_and_loses_no_minute(own_server: MariaDB, tmp_path: Path) -> None:
    token = run(own_server.url, "token", "create", "alpha").stdout.strip()
    with serving(own_server.url, tmp_path / "log") as web:
        assert web.report(token)[0] == 200
        own_server.stop(signal.SIGKILL)
        for _ in range(20):
            assert web.report("no-token")[0] == 401
        web.until(lambda: web.said("requests wait for userdb"), "userdb was never missed")
        own_server.start()
        kept = 'mission_gateway_request_events_total{result="kept"}'
        web.until(lambda: float(web.metric(kept)) > 0, "nothing was written again", 50)
        assert web.stop() == 0
    sums = rows_of(own_server, "SELECT outcome, SUM(requests) FROM userdb_requestrollup GROUP BY 1 ORDER BY 1")
    assert [(outcome, int(count)) for outcome, count in sums] == [("auth", 20), ("success", 1)]


@pytest.mark.gate
def test_an_end_without_userdb_comes_soon_and_says_what_is_lost(own_server: MariaDB, tmp_path: Path) -> None:
    with serving(own_server.url, tmp_path / "log") as web:
        own_server.stop(signal.SIGKILL)
        for _ in range(floods.FIRST):
            assert web.report("no-token")[0] == 401
        assert web.stop() == 0
        assert web.log.read_text().count('msg="requests are missing in userdb" ') == 1
        assert web.said(f"events={floods.FIRST} requests_of_minutes={floods.FIRST}")
