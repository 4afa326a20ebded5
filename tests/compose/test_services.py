"""Each of our services as a process: the command, the environment and the health check that the compose file writes down.

No container engine is at hand: what an engine would do with the file (names of hosts, secrets' paths, ports of its own) is
done here by replacing them, and nothing else is.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import MySQLdb
import pytest

from local import compose, programs
from tests import settings
from tests.alert_bridge.receivers import until
from tests.compose.files import ROOT, ours
from tests.mariadb import free_port

pytestmark = [pytest.mark.mysql, pytest.mark.processes]
BIN = Path(sys.executable).parent
PORTS = {
    ("alert-bridge", "web"): {"--web.listen-address": "8000", "--metrics.listen-address": "8100"},
    ("alert-bridge", "relay"): {"--web.listen-address": "8101"},
    ("alert-bridge", "reconcile"): {"--web.listen-address": "8102"},
    ("route-management", "web"): {"--web.listen-address": "8001", "--metrics.listen-address": "8111"},
    ("gateway-client", "serve"): {"--web.listen-address": "9810"},
}
"""The ports of each command's flags, as docs/http.md has them: one machine has each of them once."""
SERVERS = [name for name, service in ours().items() if tuple(service["command"]) in PORTS]


@dataclass(frozen=True)
class Host:
    """What stands in for the engine: one folder for all that is mounted, and where the other services are."""

    folder: Path
    alertmanager: int

    def path(self, text: str) -> str:
        for mounted in ("/run/secrets", "/run/tenant", "/var/spool/mission"):
            text = text.replace(mounted, f"{self.folder}{mounted}")
        return text

    def environment(self, name: str) -> dict[str, str]:
        """Return what the service is told, and nothing of this process'."""
        told = {key: self.path(str(value)) for key, value in ours()[name]["environment"].items()}
        for peer in ("alertmanager-1:9093", "alertmanager-2:9093"):
            told = {key: value.replace(peer, f"127.0.0.1:{self.alertmanager}") for key, value in told.items()}
        return told | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def command(self, name: str) -> list[str]:
        return [self.path(part) for part in ours()[name]["command"]]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings: None) -> Iterator[Host]:
    """A database that is empty, an Alertmanager, and the secrets."""
    folder = tmp_path_factory.mktemp("compose")
    for mounted in ("run/secrets", "run/tenant", "var/spool/mission"):
        (folder / mounted).mkdir(parents=True)
    compose.write_secrets(folder / "run" / "secrets")
    database = f"compose_{os.getpid()}"
    connection = MySQLdb.connect(host="127.0.0.1", port=settings.MYSQL_PORT, user="root")
    connection.query(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
    url = folder / "run" / "secrets" / "userdb-url"
    url.unlink()
    url.write_text(f"mysql://root@127.0.0.1:{settings.MYSQL_PORT}/{database}\n")
    port = free_port()
    command = [
        programs.find("alertmanager"), f"--config.file={ROOT / 'alertmanager' / 'alertmanager.yml'}",
        f"--storage.path={folder}", f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    made = Host(folder, port)
    try:
        for name in ("migrate", "seed"):
            once(made, name)
        yield made
    finally:
        process.terminate()
        process.wait(10)
        connection.query(f"DROP DATABASE {database}")
        connection.close()


def once(host: Host, name: str) -> None:
    """Run a service that ends."""
    command, env = host.command(name), host.environment(name)
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_a_service_starts_and_its_health_check_says_so(host: Host, name: str, tmp_path: Path) -> None:
    flags = PORTS[*ours()[name]["command"]]
    free = {port: str(free_port()) for port in flags.values()}
    command = [*host.command(name), *(f"{flag}=127.0.0.1:{free[port]}" for flag, port in flags.items())]
    kind, *check = ours()[name]["healthcheck"]["test"]
    assert kind == "CMD"
    asked = [free.get(part, part) for part in check]
    assert asked != check  # it asks one of the ports that the command listens on
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=host.environment(name), stdout=log, stderr=log, cwd=ROOT)

    def healthy() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        return subprocess.run(asked, env=host.environment(name), capture_output=True, check=False).returncode == 0

    try:
        until(healthy, 40, f"{name} is healthy")
    finally:
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM)


def test_the_seed_run_a_second_time_changes_nothing(host: Host) -> None:
    token = host.folder / "run" / "tenant" / "token"
    before = token.read_text()
    once(host, "seed")
    assert token.read_text() == before


def test_the_sample_tenant_runs_its_simulations(host: Host, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            host.command("tenant"), env=host.environment("tenant"), stdout=log, stderr=log, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: b"did not converge" in (tmp_path / "log").read_bytes(), 40, "a run has failed")
        # the text above is the simulator's; the client keeps the failure in the spool of the environment
        assert any((host.folder / "var" / "spool" / "mission").iterdir())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
