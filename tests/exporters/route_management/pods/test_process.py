"""`route-management pods` as a real process: flags, metrics, readiness, history, replicas, and its end."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exporters.route_management.pods.apiserver import ApiServer
from tests.exporters.route_management.pods.cast import at, ended, pod, running, status
from tests.exporters.route_management.pods.conftest import until
from tests.mariadb import free_port

ROOT = Path(__file__).resolve().parents[4]


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return kept | {"USERDB_URL": f"sqlite:///{folder / 'userdb.sqlite3'}"}


@contextlib.contextmanager
def exporter(server: ApiServer, folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start one; yield the process and the address of its port."""
    port = free_port()
    command = [
        sys.executable, "-c", "from exporters.route_management.cli import main; main()", "pods",
        "--kubeconfig", str(server.kubeconfig(folder)), f"--web.listen-address=127.0.0.1:{port}", *flags,
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=environment(folder), stderr=subprocess.PIPE, text=True)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def migrate(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "manage.py", "migrate"], cwd=ROOT, env=environment(folder), check=True, capture_output=True
    )
    return folder / "userdb.sqlite3"


def messages(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT message FROM userdb_monitorevent ORDER BY 1")]


def crashed(name: str, run: int) -> dict[str, object]:
    last = ended("OOMKilled", 137, at(50 + run), f"run-{run}")
    return pod(name, status={"containerStatuses": [status(state=running(at(60 + run)), last=last, restartCount=run)]})


def test_it_serves_pods_and_ends_in_order(server: ApiServer, tmp_path: Path) -> None:
    server.put(pod("sim-0"))
    with exporter(server, tmp_path, "--no-history") as (process, url):
        until(lambda: ask(f"{url}/readyz") == (200, "pods: ok\n"), 20)
        until(lambda: "mission_pod_exporter_synced 1.0" in ask(f"{url}/metrics")[1])
        _, text = ask(f"{url}/metrics")
        assert 'kube_pod_status_phase{namespace="alpha",pod="sim-0"' in text
        assert "mission_pod_exporter_pods 1.0" in text
        server.put(pod("sim-1"))
        until(lambda: 'pod="sim-1"' in ask(f"{url}/metrics")[1])
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said


def test_two_replicas_write_each_event_once_and_a_restart_adds_none(server: ApiServer, tmp_path: Path) -> None:
    database = migrate(tmp_path)
    server.put(crashed("sim-0", 1))
    with exporter(server, tmp_path) as (_, first), exporter(server, tmp_path) as (_, second):
        until(lambda: [ask(f"{url}/readyz")[0] for url in (first, second)] == [200, 200], 20)
        server.put(crashed("sim-1", 1))
        until(lambda: len(messages(database)) == 4, 20)
    with exporter(server, tmp_path) as (_, url):
        until(lambda: 'history_events_total{result="duplicate"} 4.0' in ask(f"{url}/metrics")[1], 20)
    assert len(messages(database)) == 4


def test_without_userdb_metrics_are_served_and_history_waits_for_it(server: ApiServer, tmp_path: Path) -> None:
    server.put(crashed("sim-0", 1))
    with exporter(server, tmp_path) as (process, url):
        until(lambda: ask(f"{url}/readyz")[0] == 200, 20)
        until(lambda: "mission_pod_exporter_history_queue_events 2.0" in ask(f"{url}/metrics")[1])
        database = migrate(tmp_path)
        until(lambda: len(messages(database)) == 2, 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_what_waits_at_the_end_is_written(server: ApiServer, tmp_path: Path) -> None:
    database = migrate(tmp_path)
    with exporter(server, tmp_path) as (process, url):
        until(lambda: ask(f"{url}/readyz")[0] == 200, 20)
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")  # the one writer
            server.put(crashed("sim-0", 1))
            until(lambda: "mission_pod_exporter_history_queue_events 2.0" in ask(f"{url}/metrics")[1])
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
            somebody.execute("ROLLBACK")
        assert process.wait(20) == 0
    assert len(messages(database)) == 2


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--shard", "2", "--total-shards", "2"], 1, "--shard 2 is not below --total-shards 2"),
        (["--namespace", "Not A Namespace"], 2, "is no namespace"),
        (["--metric-denylist", "("], 2, "is no regular expression"),
        (["--usage.interval", "0s"], 2, "is not between 1s and 1d"),
        (["--tenant-label", "a b"], 2, "is no label of Kubernetes"),
    ],
)
def test_wrong_flags_are_one_line(server: ApiServer, tmp_path: Path, flags: list[str], code: int, said: str) -> None:
    with exporter(server, tmp_path, "--no-history", *flags) as (process, _):
        _, text = process.communicate(timeout=20)
    assert process.returncode == code
    assert said in text.splitlines()[-1]
