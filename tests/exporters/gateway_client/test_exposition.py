"""What a scrape of `serve` sees, from processes that ended long before it."""

import sqlite3
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from exporters.gateway_client.answers import RESULTS
from exporters.gateway_client.exposition import SpoolCollector
from exporters.gateway_client.spool import DROP_REASONS, Spool, Started
from runtime.closed_sets import FAILURE_TYPES, OUTCOMES
from tests.exporters.gateway_client.client import Client, until
from tests.exporters.gateway_client.test_spool import event
from tests.mariadb import free_port


def scrape(spool: Spool) -> dict[str, float]:
    """Return each line of an exposition as {series: value}."""
    registry = CollectorRegistry()
    registry.register(SpoolCollector(spool))
    lines = generate_latest(registry).decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_a_task_is_exposed_whole_from_its_first_run_on(spool: Spool) -> None:
    spool.start(Started("r1", "grid", 100.0))
    seen = scrape(spool)
    assert seen['mission_runs_in_progress{task="grid"}'] == 1
    assert {seen[f'mission_runs_total{{outcome="{outcome}",task="grid"}}'] for outcome in OUTCOMES} == {0}
    assert {seen[f'mission_failures_total{{failure_type="{name}",task="grid"}}'] for name in FAILURE_TYPES} == {0}
    assert seen['mission_run_duration_seconds_count{task="grid"}'] == 0
    assert seen['mission_consecutive_failures{task="grid"}'] == 0
    assert 'mission_run_last_success_timestamp_seconds{task="grid"}' not in seen


def test_of_the_runs_under_way_the_oldest_start_is_exposed_and_none_when_all_have_ended(spool: Spool) -> None:
    runs = [Started("r1", "grid", 300.0), Started("r2", "grid", 100.0), Started("r3", "other-task", 50.0)]
    for run in runs:
        spool.start(run)
    series = 'mission_run_oldest_start_timestamp_seconds{task="grid"}'
    assert scrape(spool)[series] == 100
    spool.finish(runs[1], 7.0, None)
    assert scrape(spool)[series] == 300
    spool.finish(runs[0], 7.0, event())
    assert series not in scrape(spool)


def test_runs_are_counted_by_outcome_duration_and_failure(spool: Spool) -> None:
    spool.finish(Started("r1", "grid", 100.0), 0.05, None)
    spool.finish(Started("r2", "grid", 200.0), 70.0, event())
    spool.finish(Started("r3", "grid", 300.0), 100_000.0, event())
    seen = scrape(spool)
    assert seen['mission_runs_total{outcome="success",task="grid"}'] == 1
    assert seen['mission_runs_total{outcome="failure",task="grid"}'] == 2
    assert seen['mission_failures_total{failure_type="exception",task="grid"}'] == 2
    assert seen['mission_consecutive_failures{task="grid"}'] == 2
    assert seen['mission_run_last_success_timestamp_seconds{task="grid"}'] == pytest.approx(100.05)
    assert seen['mission_run_last_failure_timestamp_seconds{task="grid"}'] == 100_300
    buckets = [
        seen[f'mission_run_duration_seconds_bucket{{le="{le}",task="grid"}}']
        for le in ("0.1", "60.0", "300.0", "86400.0", "+Inf")
    ]
    assert buckets == [1, 1, 2, 2, 3]
    assert seen['mission_run_duration_seconds_sum{task="grid"}'] == pytest.approx(100_070.05)


def test_the_spool_is_exposed_and_its_reasons_and_results_exist_at_0(spool: Spool) -> None:
    seen = scrape(spool)
    assert seen["mission_spool_up"] == 1
    assert seen["mission_spool_events"] == seen["mission_spool_oldest_seconds"] == 0
    assert {seen[f'mission_spool_dropped_total{{reason="{reason}"}}'] for reason in DROP_REASONS} == {0}
    assert {seen[f'mission_reports_total{{result="{result}"}}'] for result in RESULTS} == {0}
    assert seen['mission_labels_folded_total{label="task"}'] == 0
    spool.keep(event())
    seen = scrape(spool)
    assert seen["mission_spool_events"] == 1
    assert 0 <= seen["mission_spool_oldest_seconds"] < 10


def test_a_spool_that_can_not_be_read_is_said_and_nothing_else(folder: Path) -> None:
    folder.write_text("in the way")
    assert scrape(Spool(folder)) == {"mission_spool_up": 0}


def test_serve_shows_what_runs_left_and_a_restart_loses_nothing(client: Client) -> None:
    client.run("--task", "grid", "--", "false")
    for _ in range(2):
        port = free_port()
        with client.start("serve", f"--web.listen-address=127.0.0.1:{port}", stderr=subprocess.PIPE) as process:
            text = until(lambda port=port: read(port, "/metrics"))  # type: ignore[misc]
            assert 'mission_runs_total{outcome="failure",task="grid"} 1.0' in text
            assert 'mission_build_info{version="' in text
            assert read(port, "/healthz") == "ok\n"
            assert read(port, "/readyz") == "spool: ok\n"
            assert "gateway-client serve" in read(port, "/")
            process.terminate()
            assert process.wait(5) == 0
            assert process.stderr is not None
            assert b"GATEWAY_URL is not set: reports are kept, none is sent" in process.stderr.read()


def read(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())
    except OSError:
        return ""


def test_serve_is_not_ready_without_its_spool_and_ready_again_with_it(client: Client, folder: Path) -> None:
    folder.write_text("in the way")
    port = free_port()
    with client.start("serve", f"--web.listen-address=127.0.0.1:{port}", stderr=subprocess.DEVNULL) as process:
        assert until(lambda: read(port, "/readyz")).startswith(f"spool: {folder}")
        folder.unlink()
        until(lambda: read(port, "/readyz") == "spool: ok\n")
        process.terminate()
        process.wait(5)


def test_serve_says_a_port_that_is_taken(client: Client) -> None:
    port = free_port()
    with client.start("serve", f"--web.listen-address=127.0.0.1:{port}", stderr=subprocess.DEVNULL) as process:
        until(lambda: read(port, "/healthz"))
        done = client.call("serve", f"--web.listen-address=127.0.0.1:{port}")
        assert done.returncode == 1
        assert f"can't listen on 127.0.0.1:{port}".encode() in done.stderr
        process.terminate()


def test_serve_ends_what_a_killed_run_left(client: Client, spool: Spool) -> None:
    with client.start("run", "--task", "grid", "--", "sh", "-c", "echo $$; read x", stdin=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.kill()
    port = free_port()
    with client.start("serve", f"--web.listen-address=127.0.0.1:{port}", stderr=subprocess.DEVNULL) as process:
        until(lambda: 'mission_runs_total{outcome="failure",task="grid"} 1.0' in read(port, "/metrics"))
        process.terminate()
    assert client.report()["failure_type"] == "signal"


def test_serve_folds_the_log_so_that_no_run_has_to(client: Client, spool: Spool, folder: Path) -> None:
    spool.start(Started("r", "grid", 1.0))
    while spool.database.log_bytes() < 1_100_000:
        spool.finish(Started("r", "grid", 1.0), 1.0, None)
    port = free_port()
    before = (folder / "spool.sqlite3").stat().st_mtime_ns
    with client.start("serve", f"--web.listen-address=127.0.0.1:{port}", stderr=subprocess.DEVNULL) as process:
        until(lambda: (folder / "spool.sqlite3").stat().st_mtime_ns > before)
        process.terminate()
    assert sqlite3.connect(folder / "spool.sqlite3").execute("PRAGMA integrity_check").fetchone() == ("ok",)
