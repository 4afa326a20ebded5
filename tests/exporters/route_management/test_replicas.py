"""Two `route-management web` on one userdb, as real processes: no event, no minute and no count is doubled."""

import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.route_management.processes import Web, migrate, rows_of, run, serving
from tests.mariadb import MariaDB, free_port

pytestmark = pytest.mark.gate
SENDERS, BATCHES, BATCH = 4, 15, 40
FREE = {"REPORTS_REQUESTS_PER_SECOND": "100000", "REPORTS_EVENTS_PER_SECOND": "1000000", "REPORTS_CONCURRENT": "100"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    made = MariaDB(tmp_path_factory.mktemp("replicas"), free_port())
    made.start()
    try:
        migrate(made.url)
        yield made
    finally:
        made.stop()


@pytest.fixture
def tenant(server: MariaDB) -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def token(server: MariaDB, tenant: str) -> str:
    return run(server.url, "token", "create", tenant).stdout.strip()


@pytest.fixture
def replicas(server: MariaDB, token: str, tmp_path: Path) -> Iterator[list[Web]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving(server.url, tmp_path / f"log-{n}", **FREE)) for n in range(2)]


def batch() -> list[dict[str, Any]]:
    return [{"id": str(uuid.uuid4()), "message": "it failed"} for _ in range(BATCH)]


def sent_by_all(replicas: list[Web], token: str, batches: list[list[dict[str, Any]]]) -> list[int]:
    """Send each batch from all senders to both replicas, in orders of their own; return the statuses."""

    def sender(n: int) -> list[int]:
        orders = [one if n % 2 else one[::-1] for one in batches]
        return [replicas[(n + i) % 2].report(token, *one)[0] for i, one in enumerate(orders)]

    with ThreadPoolExecutor(SENDERS) as pool:
        return [status for statuses in pool.map(sender, range(SENDERS)) for status in statuses]


def total(replicas: list[Web], line: str) -> int:
    return sum(int(float(web.metric(line))) for web in replicas)


def test_a_report_that_reaches_both_is_one_row_an_event(
    server: MariaDB, replicas: list[Web], token: str, tenant: str
) -> None:
    assert set(sent_by_all(replicas, token, [batch() for _ in range(BATCHES)])) == {200}
    sql = "SELECT COUNT(*), COUNT(DISTINCT event_id) FROM userdb_monitorevent WHERE tenant = %s"
    assert rows_of(server, sql, tenant) == [(BATCHES * BATCH, BATCHES * BATCH)]
    received = f'mission_reports_received_total{{result="%s",tenant="{tenant}"}}'
    assert total(replicas, received % "accepted") == BATCHES * BATCH
    assert total(replicas, received % "duplicate") == BATCHES * BATCH * (SENDERS - 1)


def test_minutes_of_all_replicas_add_up(server: MariaDB, replicas: list[Web], token: str, tenant: str) -> None:
    statuses = sent_by_all(replicas, token, [batch() for _ in range(BATCHES)])
    assert [web.stop() for web in replicas] == [0, 0]
    sql = "SELECT COUNT(DISTINCT instance), SUM(requests) FROM userdb_requestrollup WHERE tenant = %s"
    counted = rows_of(server, sql, tenant)
    assert [(instances, int(requests)) for instances, requests in counted] == [(2, len(statuses))]


def test_a_replica_that_is_killed_harms_no_others_minute(
    server: MariaDB, replicas: list[Web], token: str, tenant: str, tmp_path: Path
) -> None:
    """It loses at most what it had not written; what comes after it counts under a name of its own."""
    victim, other = replicas
    assert other.report(token)[0] == victim.report(token)[0] == 200
    victim.stop(signal.SIGKILL)
    with serving(server.url, tmp_path / "next", **FREE) as following:
        assert following.report(token)[0] == 200
        assert following.stop() == other.stop() == 0
    requests = rows_of(server, "SELECT requests FROM userdb_requestrollup WHERE tenant = %s", tenant)
    assert sorted(requests) in ([(1,), (1,)], [(1,), (1,), (1,)])


def test_a_failed_request_is_one_row_whoever_answered_it(
    server: MariaDB, replicas: list[Web], tenant: str, token: str
) -> None:
    before = rows_of(server, "SELECT COUNT(*) FROM userdb_monitorevent WHERE event_type = 'request'")[0][0]
    for web in replicas:
        assert web.report("no-token")[0] == 401
    assert [web.stop() for web in replicas] == [0, 0]
    after = rows_of(server, "SELECT COUNT(*) FROM userdb_monitorevent WHERE event_type = 'request'")[0][0]
    assert after == before + 2
