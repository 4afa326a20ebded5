"""A disk that is full, a folder that is read-only: the simulation runs, the failure is kept elsewhere and said once."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from exporters.gateway_client import journal
from exporters.gateway_client.spool import Spool, Started
from tests.exporters.gateway_client.client import COMMAND, ROOT, Client, counts, tally
from tests.exporters.gateway_client.test_spool import event

pytestmark = pytest.mark.processes


def test_a_folder_that_can_not_be_written_costs_the_simulation_nothing(client: Client, folder: Path) -> None:
    folder.write_text("in the way")
    done = client.run("--task", "grid", "--", "sh", "-c", "echo out; exit 3")
    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert done.stderr.count(b"gateway-client: ") == 1
    assert b"until the spool can be written" in done.stderr
    folder.unlink()
    client.run("--task", "next", "--", "true")
    assert counts(Spool(folder), "grid") == (0, 1, 1)
    assert client.report()["task"] == "grid"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
@pytest.mark.parametrize("options", ["size=1m", "ro"], ids=["full", "read-only"])
def test_a_disk_that_takes_nothing_costs_the_simulation_nothing(
    client: Client, spool: Spool, folder: Path, options: str
) -> None:
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("can't mount")
    try:
        if options != "ro":
            client.run("--task", "grid", "--", "true")
            subprocess.run(
                ["dd", "if=/dev/zero", f"of={folder / 'ballast'}", "bs=4k"], stderr=subprocess.DEVNULL, check=False
            )
        done = client.run("--task", "grid", "--", "sh", "-c", "head -c 20000 /dev/zero | tr '\\0' x; exit 3")
        assert (done.returncode, len(done.stdout)) == (3, 20_000)
        assert done.stderr.count(b"gateway-client: ") == 1
        if options != "ro":
            (folder / "ballast").unlink()
            client.run("--task", "next", "--", "true")
            assert counts(spool, "grid") == (1, 1, 1)
            assert client.report()["task"] == "grid"
    finally:
        spool.database.close()
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_size_limit_is_said_and_nothing_is_lost(client: Client, folder: Path) -> None:
    client.run("--task", "grid", "--", "true")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    done = subprocess.run(
        [*COMMAND, "run", "--task", "grid", "--", "sh", "-c", "exit 3"], cwd=ROOT, capture_output=True, preexec_fn=limit,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert b"until the spool can be written" in done.stderr
    client.run("--task", "next", "--", "true")
    assert counts(Spool(folder), "grid") == (1, 1, 1)


def test_where_nothing_can_be_written_the_loss_is_said(client: Client) -> None:
    in_the_way = Spool(Path("/proc/spool")).journals()[0]
    in_the_way.mkdir()
    try:
        done = client.run("--", "sh", "-c", "exit 3", GATEWAY_SPOOL="/proc/spool", TMPDIR="/proc/nowhere")
    finally:
        in_the_way.rmdir()
    assert done.returncode == 3
    assert done.stderr.endswith(b": this run is not counted\n")
    assert done.stderr.count(b"\n") == 1


def test_a_journal_is_taken_in_exactly_once(spool: Spool, folder: Path) -> None:
    one = event()
    path = journal.write(spool, Started("r1", "grid", 1.0), 2.0, one)
    journal.write(spool, Started("r2", "grid", 1.0), 2.0, None)
    text = path.read_bytes()
    assert journal.take_in(spool) == 2
    assert not path.exists()
    path.write_bytes(text)  # as if it had been killed before it removed the file
    assert journal.take_in(spool) == 0
    assert counts(spool, "grid") == (1, 1, 0)
    assert [report.id for report in spool.batch(10, 1 << 20)] == [one.id]


def test_lines_added_after_a_crash_at_taking_in_are_not_skipped(spool: Spool) -> None:
    path = journal.write(spool, Started("r1", "grid", 1.0), 2.0, None)
    text = path.read_bytes()
    journal.take_in(spool)
    path.write_bytes(text)
    journal.write(spool, Started("r2", "grid", 1.0), 2.0, None)
    assert journal.take_in(spool) == 1
    assert counts(spool, "grid") == (2, 0, 0)


def test_a_line_that_was_not_finished_harms_no_other(spool: Spool) -> None:
    path = journal.write(spool, Started("r1", "grid", 1.0), 2.0, None)
    with path.open("ab") as file:
        file.write(b'[["r2", "gri')
    assert journal.take_in(spool) == 1


def test_a_journal_that_grows_too_large_keeps_the_counts(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LONGEST", 1000)
    for number in range(4):
        journal.write(spool, Started(f"r{number}", "grid", 1.0), 2.0, event(size=700))
    journal.take_in(spool)
    assert counts(spool, "grid") == (0, 4, 4)
    assert tally(spool, "dropped") == {"unwritable": 4 - spool.waiting()}
    assert 1 <= spool.waiting() < 4
