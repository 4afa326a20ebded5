"""The whole way in short: real OpenDSS cases in parallel shells while sender and gateway are killed with -9. The rows in userdb
are exactly the failures that happened, once each."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporters.gateway_client.spool import Spool
from tests.exporters.gateway_client.client import ROOT, Client, counts, until
from tests.exporters.gateway_client.test_opendss import FEEDER
from tests.mariadb import free_port

pytestmark = pytest.mark.processes

RUNS, SHELLS = 16, 4


class Gateway:
    """A route_management of its own, on SQLite, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.file, self.port = folder / "userdb.sqlite3", free_port()
        self.env = os.environ | {"USERDB_URL": f"sqlite:///{self.file}"}
        self.env.pop("DJANGO_SETTINGS_MODULE", None)  # each program has its own
        self.process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=self.env, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        made = subprocess.run(
            self._command("token", "create", "alice"), cwd=ROOT, env=self.env, capture_output=True, check=True
        )
        self.token = made.stdout.decode().split()[-1]

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from exporters.route_management.cli import main; main()", *arguments]

    def start(self) -> None:
        listen = [f"--web.listen-address=127.0.0.1:{self.port}", f"--metrics.listen-address=127.0.0.1:{free_port()}"]
        self.process = subprocess.Popen(
            self._command("web", *listen), cwd=ROOT, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def rows(self) -> list[tuple[str, str, str]]:
        connection = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)
        try:
            return connection.execute(
                "SELECT event_id, task, failure_type FROM userdb_monitorevent WHERE event_type = 'gateway'"
            ).fetchall()
        finally:
            connection.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    made.start()
    yield made
    made.kill()


def test_what_failed_is_in_userdb_once_each_whatever_is_killed(client: Client, spool: Spool, gateway: Gateway) -> None:
    env = {"GATEWAY_URL": f"http://127.0.0.1:{gateway.port}", "GATEWAY_TOKEN": gateway.token}
    chance = random.Random(7)
    loads = [chance.choice(("500", "1000")) for _ in range(RUNS)]

    def serve() -> subprocess.Popen[bytes]:
        listen = f"--web.listen-address=127.0.0.1:{free_port()}"
        return client.start("serve", listen, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(load: str) -> int:
        return client.run("--task", "feeder", "--", *FEEDER, "--load-kw", load, **env).returncode

    server = serve()
    with ThreadPoolExecutor(SHELLS) as shells:
        for number, codes in enumerate(shells.map(lambda group: [run(load) for load in group], _groups(loads))):
            assert codes == [int(load == "1000") for load in _groups(loads)[number]]
            server.kill()
            server.wait()
            gateway.kill()
            gateway.start()
            server = serve()
    failures = loads.count("1000")
    assert counts(spool, "feeder")[:2] == (RUNS - failures, failures)
    try:
        until(lambda: spool.waiting() == 0, 40)
    finally:
        server.terminate()
        server.wait(10)
    rows = gateway.rows()
    assert len({identifier for identifier, _, _ in rows}) == len(rows) == failures
    assert {row[1:] for row in rows} == {("feeder", "no_convergence")}


def _groups(loads: list[str]) -> list[list[str]]:
    """Return the loads as what each shell runs one after the other."""
    return [loads[start : start + 2] for start in range(0, RUNS, 2)]
