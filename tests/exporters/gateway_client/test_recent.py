"""`mission_recent_failures`: what failed in the last five minutes, exactly, whatever clocks, journals and floods do."""

import sqlite3
import subprocess
from pathlib import Path

import pytest

from exporters.gateway_client import events, journal
from exporters.gateway_client.spool import Event, Spool, Started
from runtime.closed_sets import FAILURE_TYPES, LEVELS
from tests.exporters.gateway_client.client import Client, until
from tests.exporters.gateway_client.test_exposition import read, scrape
from tests.exporters.gateway_client.test_spool import break_a_table, event, started
from tests.mariadb import free_port


class Clock:
    """A machine's clock that somebody sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(spool: Spool) -> Clock:
    spool.clock = Clock()
    return spool.clock


def recent(spool: Spool) -> dict[str, float]:
    """Return {failure type: failures} as a scrape says it."""
    found = {name: value for name, value in scrape(spool).items() if name.startswith("mission_recent_failures")}
    types = {name.split('"')[1]: value for name, value in found.items()}
    assert set(found) == {f'mission_recent_failures{{failure_type="{kind}",window="5m"}}' for kind in types}
    return types


def rows(spool: Spool) -> int:
    count: int = spool.database.read(lambda c: c.execute("SELECT count(*) FROM recent_failure").fetchone()[0])
    return count


def happened(at: float) -> Event:
    return events.make(task="t", failure_type="timeout", level="error", message="m", detail={}, occurred_at=at)


def test_failed_runs_and_reports_of_all_tasks_are_counted_by_type(spool: Spool) -> None:
    spool.finish(started("a"), 1.0, event())
    spool.finish(started("b"), 1.0, event()._replace(failure_type="timeout"))
    spool.keep(event(task="c"))
    assert recent(spool) == {"exception": 2, "timeout": 1}


def test_where_nothing_failed_there_is_no_series(spool: Spool) -> None:
    spool.finish(started(), 1.0, None)
    assert recent(spool) == {}


@pytest.mark.parametrize("level", LEVELS)
def test_what_counts_as_a_failure_counts_as_a_recent_one(spool: Spool, level: str) -> None:
    spool.keep(event(level))
    assert recent(spool) == ({"exception": 1} if level in ("error", "critical") else {})


def test_a_failure_that_was_handed_over_stays_counted(spool: Spool) -> None:
    spool.keep(event())
    spool.settle(spool.batch(1, 1), [], {"accepted": 1})
    assert recent(spool) == {"exception": 1}


def test_a_failure_counts_for_300_seconds_and_each_goes_by_itself(spool: Spool, clock: Clock) -> None:
    spool.keep(event())
    clock.now += 100
    spool.keep(event())
    clock.now += 199
    assert recent(spool) == {"exception": 2}
    clock.now += 1
    assert recent(spool) == {"exception": 1}
    clock.now += 100
    assert recent(spool) == {}


def test_a_flood_grows_no_row_each_and_old_rows_go_with_the_next_failure(spool: Spool, clock: Clock) -> None:
    for number in range(2 * len(FAILURE_TYPES)):
        spool.keep(event()._replace(failure_type=FAILURE_TYPES[number % len(FAILURE_TYPES)]))
    assert rows(spool) == len(FAILURE_TYPES)
    clock.now += 300
    spool.keep(event())
    assert rows(spool) == 1


def test_rows_that_no_longer_count_go_without_a_new_failure(spool: Spool, clock: Clock) -> None:
    spool.keep(event())
    spool.forget_old_failures()
    assert rows(spool) == 1
    clock.now += 300
    spool.forget_old_failures()
    assert rows(spool) == 0


def test_a_clock_that_goes_back_a_little_takes_nothing_away(spool: Spool, clock: Clock) -> None:
    spool.keep(event())
    clock.now -= 299
    spool.keep(event())
    assert recent(spool) == {"exception": 2}


@pytest.mark.parametrize("leap", [-86_400, -300, 300, 86_400])
def test_a_leap_of_the_clock_leaves_nothing_standing_now_or_when_it_comes_by_again(
    spool: Spool, clock: Clock, leap: int
) -> None:
    spool.keep(event())
    clock.now += leap
    assert recent(spool) == {}
    spool.forget_old_failures()
    clock.now -= leap
    assert recent(spool) == {}


def test_a_failure_after_a_leap_counts_as_always(spool: Spool, clock: Clock) -> None:
    spool.keep(event())
    clock.now -= 86_400
    spool.keep(event())
    assert recent(spool) == {"exception": 1}
    clock.now += 300
    assert recent(spool) == {}


def test_what_a_journal_kept_counts_by_when_it_happened(spool: Spool, clock: Clock) -> None:
    for age in (3600, 301, 200, 100, -50):
        journal.write(spool, None, 0.0, happened(clock.now - age))
    journal.write(spool, Started("old", "t", clock.now - 500), 100.0, event())
    journal.write(spool, Started("new", "t", clock.now - 500), 400.0, event())
    assert journal.take_in(spool) == 7
    assert recent(spool) == {"timeout": 3, "exception": 1}
    clock.now += 150
    assert recent(spool) == {"timeout": 2, "exception": 1}
    clock.now += 149
    assert recent(spool) == {"timeout": 1}
    clock.now += 1
    assert recent(spool) == {}


def test_a_report_that_a_full_journal_kept_without_its_body_counts_with_the_one_before_it(
    spool: Spool, clock: Clock
) -> None:
    journal.write(spool, None, 0.0, happened(clock.now - 3600))
    journal.write(spool, None, 0.0, happened(clock.now)._replace(body=""))
    journal.take_in(spool)
    assert recent(spool) == {}


@pytest.mark.parametrize(("age", "kept"), [(299, 1), (300, 0)])
def test_what_no_longer_counted_when_it_was_read_in_leaves_no_row(
    spool: Spool, clock: Clock, age: int, kept: int
) -> None:
    journal.write(spool, None, 0.0, happened(clock.now - age))
    journal.take_in(spool)
    assert rows(spool) == kept


def test_a_report_of_a_journal_that_says_no_time_counts_from_now(spool: Spool, clock: Clock) -> None:
    journal.write(spool, None, 0.0, event())
    journal.take_in(spool)
    assert recent(spool) == {"exception": 1}


@pytest.fixture
def earlier(folder: Path, spool: Spool) -> Path:
    """A spool as the version before this gauge made it, with a report and a count in it."""
    spool.keep(event())
    spool.database.close()
    with sqlite3.connect(folder / "spool.sqlite3") as connection:
        connection.execute("DROP TABLE recent_failure")
    connection.close()
    return folder


def test_a_spool_of_the_version_before_is_upgraded_in_place(earlier: Path) -> None:
    spool = Spool(earlier)
    assert recent(spool) == {}
    spool.keep(event())
    assert recent(spool) == {"exception": 1}
    assert scrape(spool)['mission_failures_total{failure_type="exception",task="grid"}'] == 2
    assert spool.waiting() == 2
    assert not (earlier / "current").exists()


def test_several_processes_that_meet_an_old_spool_at_once_lose_nothing(client: Client, earlier: Path) -> None:
    runs = [client.start("run", "--", "false") for _ in range(4)]
    assert [(run.communicate()[1], run.returncode) for run in runs] == [(b"", 1)] * 4
    assert recent(Spool(earlier)) == {"nonzero_exit": 4}


def test_a_program_of_the_version_before_may_go_on_writing(folder: Path, spool: Spool) -> None:
    spool.keep(event())
    with sqlite3.connect(folder / "spool.sqlite3") as older:
        assert older.execute("PRAGMA user_version").fetchone() == (1,)
        older.execute("UPDATE failure SET count = count + 1 WHERE failure_type = 'exception'")
    older.close()
    assert recent(spool) == {"exception": 1}


def test_recent_failures_are_saved_from_a_broken_file(folder: Path, spool: Spool) -> None:
    spool.finish(started(), 1.0, event())
    break_a_table(spool)
    again = Spool(folder)
    again.finish(started(), 1.0, event())
    assert recent(again) == {"exception": 2}


def test_runs_of_a_moment_are_counted_and_a_restart_of_serve_loses_none(client: Client) -> None:
    client.run("--task", "a", "--", "false")
    client.run("--task", "b", "--", "false")
    for _ in range(2):
        port = free_port()
        with client.start("serve", f"--web.listen-address=127.0.0.1:{port}", stderr=subprocess.DEVNULL) as process:
            text = until(lambda port=port: read(port, "/metrics"))  # type: ignore[misc]
            assert 'mission_recent_failures{failure_type="nonzero_exit",window="5m"} 2.0' in text
            process.terminate()


def test_serve_clears_old_rows_away(client: Client, spool: Spool) -> None:
    spool.keep(event())
    spool.database.write(lambda c: c.execute("UPDATE recent_failure SET second = second - 300"), durable=False)
    port = free_port()
    with client.start("serve", f"--web.listen-address=127.0.0.1:{port}", stderr=subprocess.DEVNULL) as process:
        until(lambda: rows(spool) == 0)
        process.terminate()
