"""The spool keeps what it was given, within its bounds, for several writers, across kill -9 and broken files."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from exporters.gateway_client import events
from exporters.gateway_client.spool import Event, Spool, Started
from exporters.gateway_client.tasks import MOST_LABELS, Tasks
from runtime.closed_sets import FAILURE_TYPES, LEVELS
from tests.exporters.gateway_client.client import ROOT, Client, counts, tally


def event(level: str = "error", task: str = "grid", size: int = 100) -> Event:
    identifier = str(uuid.uuid4())
    return Event(identifier, task, "exception", level, json.dumps({"id": identifier, "x": "x" * size}))


def started(task: str = "grid") -> Started:
    return Started(uuid.uuid4().hex, task, 1_000_000.0)


def kept(spool: Spool) -> list[str]:
    return [report.id for report in spool.batch(10_000, 1 << 30)]


def break_a_table(spool: Spool) -> None:
    """Close the spool and overwrite one page of its file; what stands in the other tables can still be read."""
    spool.database.close()
    path = spool.folder / "spool.sqlite3"
    with sqlite3.connect(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'task'").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def test_reports_come_out_in_their_order(spool: Spool) -> None:
    given = [event() for _ in range(5)]
    for one in given:
        spool.keep(one)
    assert spool.batch(3, 1 << 30) == [(n, e.id, e.body) for n, e in enumerate(given[:3], 1)]


def test_a_batch_is_bounded_by_bytes_but_never_empty(spool: Spool) -> None:
    for _ in range(3):
        spool.keep(event(size=1000))
    assert len(spool.batch(100, 2500)) == 2
    assert len(spool.batch(100, 10)) == 1


@pytest.mark.parametrize("bound", ["rows", "bytes"])
def test_the_oldest_of_the_lowest_level_is_dropped_at_the_bound(spool: Spool, bound: str) -> None:
    spool.most_rows, spool.most_bytes = (4, 1 << 30) if bound == "rows" else (1000, 4 * 160)
    given = {level: [event(level), event(level)] for level in ("error", "info", "critical", "warning")}
    for pair in given.values():
        for one in pair:
            spool.keep(one)
    assert kept(spool) == [e.id for level in ("error", "critical") for e in given[level]]
    assert tally(spool, "dropped") == {bound: 4}


def test_errors_are_dropped_before_criticals_and_the_oldest_critical_last(spool: Spool) -> None:
    spool.most_rows = 2
    given = [event(level) for level in ("critical", "error", "critical", "critical")]
    for one in given[:3]:
        spool.keep(one)
    assert kept(spool) == [given[0].id, given[2].id]
    spool.keep(given[3])
    assert kept(spool) == [given[2].id, given[3].id]


def test_delivered_reports_are_deleted_by_id_and_refused_ones_set_aside(spool: Spool) -> None:
    given = [event() for _ in range(3)]
    for one in given:
        spool.keep(one)
    first, _, third = spool.batch(3, 1 << 30)
    spool.settle([first], [(third, "400: odd")], {"accepted": 1, "rejected": 1})
    assert kept(spool) == [given[1].id]
    row = spool.database.read(lambda c: c.execute("SELECT id, reason, body FROM quarantine").fetchall())
    assert row == [(given[2].id, "400: odd", given[2].body)]
    assert tally(spool, "reports") == {"accepted": 1, "rejected": 1}


def test_what_was_refused_can_be_sent_again(spool: Spool) -> None:
    one = event()
    spool.keep(one)
    spool.settle([], [(spool.batch(1, 1)[0], "400")], {})
    assert spool.release_quarantine() == 1
    assert kept(spool) == [one.id]
    assert spool.waiting() == 1


def test_each_counter_of_a_task_exists_at_0_from_its_first_run_on(spool: Spool) -> None:
    spool.start(started())
    rows = spool.database.read(lambda c: c.execute("SELECT label, failure_type, count FROM failure").fetchall())
    assert sorted(rows) == sorted(("grid", failure_type, 0) for failure_type in FAILURE_TYPES)
    assert counts(spool, "grid") == (0, 0, 0)


def test_failures_in_a_row_are_counted_and_end_with_a_success(spool: Spool) -> None:
    spool.finish(started(), 1.0, event())
    spool.finish(started(), 1.0, event())
    assert counts(spool, "grid") == (0, 2, 2)
    spool.finish(started(), 1.0, None)
    assert counts(spool, "grid") == (1, 2, 0)


@pytest.mark.parametrize("level", LEVELS)
def test_only_errors_count_as_failures(spool: Spool, level: str) -> None:
    spool.keep(event(level))
    count = spool.database.read(
        lambda c: c.execute("SELECT count FROM failure WHERE failure_type = 'exception'").fetchone()[0]
    )
    assert count == (level in ("error", "critical"))


@pytest.mark.parametrize(
    ("configured", "names", "labels"),
    [
        ("", ["grid", "a b", "7", "x" * 65, "other"], ["grid", "other"]),
        ("grid,net-*", ["grid", "net-1", "net-2", "Grid", "power"], ["grid", "net-1", "net-2", "other"]),
    ],
)
def test_a_name_that_is_not_known_is_folded_and_counted(
    folder: Path, configured: str, names: list[str], labels: list[str]
) -> None:
    spool = Spool(folder, Tasks(configured))
    for name in names:
        spool.finish(started(name), 1.0, None)
    rows = spool.database.read(lambda c: c.execute("SELECT label FROM task ORDER BY label").fetchall())
    assert [label for (label,) in rows] == labels
    folded = [name for name in names if name not in labels]
    assert tally(spool, "folded") == {"task": len(folded)}


def test_patterns_make_at_most_100_labels_but_configured_names_are_always_one(folder: Path) -> None:
    spool = Spool(folder, Tasks("task-*,grid"))
    for number in range(MOST_LABELS + 5):
        spool.finish(started(f"task-{number}"), 1.0, None)
    spool.finish(started("grid"), 1.0, None)
    rows = spool.database.read(lambda c: c.execute("SELECT label FROM task").fetchall())
    assert len(rows) == MOST_LABELS + 2
    assert tally(spool, "folded") == {"task": 5}
    assert counts(spool, "grid") == (1, 0, 0)


def test_the_raw_name_stays_in_the_report(client: Client, spool: Spool) -> None:
    client.run("--task", "Grid of acme", "--", "false", GATEWAY_TASKS="net")
    assert client.report()["task"] == "Grid of acme"
    assert counts(spool, "other") == (0, 1, 1)


WRITER = """
import sys
from exporters.gateway_client import report_gateway_exception as report
while True:
    print(report("x"), flush=True)
"""


def test_what_was_said_to_be_kept_is_there_after_kill_9(client: Client) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(4)
    ]
    said: list[str] = []
    for writer in writers:
        assert writer.stdout is not None
        said += [writer.stdout.readline().strip() for _ in range(20)]
    for writer in writers:
        assert writer.stdout is not None
        writer.send_signal(signal.SIGKILL)
        *whole, _ = writer.stdout.read().split("\n")
        said += whole
        writer.wait()
        writer.stdout.close()
    assert "None" not in said
    assert set(said) <= {report["id"] for report in client.reports()}


def test_several_writers_at_once_lose_nothing(client: Client, spool: Spool) -> None:
    script = (
        "from exporters.gateway_client import run\n"
        "for i in range(50):\n"
        "    try:\n"
        "        with run('grid'):\n"
        "            assert i % 2\n"
        "    except AssertionError: pass\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, cwd=ROOT) for _ in range(4)]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 4
    assert counts(spool, "grid")[:2] == (100, 100)
    assert len(client.reports()) == 100


@pytest.mark.parametrize("garbage", [b"not a database at all" * 500, b"\0" * 8192])
def test_a_broken_file_is_kept_aside_and_a_new_one_begun(
    client: Client, folder: Path, spool: Spool, garbage: bytes
) -> None:
    folder.mkdir()
    (folder / "spool.sqlite3").write_bytes(garbage)
    done = client.run("--task", "grid", "--", "false")
    assert done.returncode == 1
    assert done.stderr.count(b"is broken: kept aside") == 1
    assert (folder / "spool.sqlite3").read_bytes() == garbage
    assert counts(spool, "grid") == (0, 1, 1)
    assert tally(spool, "dropped") == {"corrupt": 1}
    assert client.report()["task"] == "grid"


def test_reports_that_can_be_read_are_saved_from_a_broken_file(folder: Path, spool: Spool) -> None:
    given = [event() for _ in range(20)]
    for one in given:
        spool.keep(one)
    break_a_table(spool)
    again = Spool(folder)
    again.finish(started(), 1.0, event())
    assert set(kept(again)) > {one.id for one in given}
    assert tally(again, "dropped") == {"corrupt": 1}


def test_a_process_that_has_the_file_open_sees_that_another_began_a_new_one(folder: Path) -> None:
    first, second = Spool(folder), Spool(folder)
    first.keep(event())
    second.keep(event())
    second.database._begin_anew()
    one = event()
    first.keep(one)
    assert one.id in kept(second)


def test_a_folder_that_was_deleted_under_a_process_is_made_again(folder: Path, spool: Spool) -> None:
    spool.keep(event())
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink()
    one = event()
    spool.keep(one)
    assert kept(Spool(folder)) == [one.id]


def test_a_file_of_a_later_version_is_left_alone(client: Client, folder: Path, spool: Spool) -> None:
    spool.keep(event())
    spool.database.close()
    with sqlite3.connect(folder / "spool.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = client.run("--", "true")
    assert done.returncode == 0
    assert b"schema version 99, this program knows 1: kept in " in done.stderr


def test_a_successful_run_costs_no_disk_sync(client: Client, tmp_path: Path) -> None:
    client.run("--", "true")
    log = tmp_path / "trace"
    trace = ["strace", "-f", "-e", "trace=fsync,fdatasync,sync,syncfs,msync,sync_file_range", "-o", str(log)]
    try:
        subprocess.run([*trace, "true"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs strace")
    subprocess.run(
        [*trace, sys.executable, "-m", "exporters.gateway_client", "run", "--", "true"], cwd=ROOT, check=True
    )
    assert "sync" not in log.read_text()
    subprocess.run(
        [*trace, sys.executable, "-m", "exporters.gateway_client", "run", "--", "false"], cwd=ROOT, check=False
    )
    # one for the commit, and SQLite's own of the folder at the first one of each process
    assert log.read_text().count("sync(") == 2


def test_a_spool_in_a_shared_folder_may_be_used_by_its_group(folder: Path, spool: Spool) -> None:
    folder.mkdir(mode=0o770)
    folder.chmod(0o770)
    spool.keep(event())
    assert (folder / "spool.sqlite3").stat().st_mode & 0o777 == 0o660


def test_a_spool_of_ones_own_is_nobody_elses(folder: Path, spool: Spool) -> None:
    spool.keep(event())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_default_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to make a folder of another user")
    monkeypatch.delenv("GATEWAY_SPOOL")
    monkeypatch.setattr(os, "geteuid", lambda: 987_654)
    folder = Path("/var/tmp/mission-monitor-987654")
    folder.mkdir()
    try:
        with pytest.raises(Exception, match="belongs to another user: set GATEWAY_SPOOL"):
            Spool().keep(event())
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_events_are_cut_to_what_the_gateway_takes() -> None:
    from django.utils import timezone

    from exporters.route_management.payload import parse_events

    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"deeper": deep}
    made = events.make(
        task=" t" * 500, failure_type="made up", level="fatal", message="m" * 100_000 + "\0\ud800", occurred_at=1e9,
        detail={
            "long": "\n" * 400_000, "deep": deep, "nan": float("nan"), "bytes": b"\xff", "object": object(), 7: 2**80,
            "many": {str(i): "x" * 2000 for i in range(3000)}, "password": "swordfish",
        },
    )  # fmt: skip
    report = parse_events(b'{"events":[%s]}' % made.body.encode(), timezone.now())
    assert report.rejected == []
    (taken,) = report.events
    assert (taken.id, taken.failure_type, taken.level) == (made.id, "other", "error")
    assert "swordfish" not in made.body
