"""A copy of the miniature host project in a folder of its own, migrated, on SQLite and on MariaDB; run as real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.adopting.document import MINIATURE, SOURCE, manage_commands
from tests.mariadb import MariaDB, MissingServer, free_port


@dataclass
class Platform:
    """The miniature in its folder. `manage` runs one of its commands, `python` a few lines inside it."""

    folder: Path
    userdb_url: str
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        # nothing of the tests' own settings: a host project has none of them
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {
            "PYTHONPATH": str(SOURCE),
            "PYTHONWARNINGS": "error",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PORTAL_SECRET_KEY": "only-for-tests",
            "USERDB_URL": self.userdb_url,
            **self.extra,
        }

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def in_container(self, site: str, token: str, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as a tenant's container does: no database, a token in a file, a spool."""
        secret = self.folder.parent / "token"
        secret.write_text(token + "\n")
        environment = {name: value for name, value in self.environment.items() if name != "USERDB_URL"} | {
            "GATEWAY_URL": site,
            "GATEWAY_TOKEN_FILE": str(secret),
            "GATEWAY_SPOOL": str(self.folder.parent / "spool"),
        }
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def token(self) -> str:
        """Make a reporter token of alpha."""
        return self.python(
            "from userdb import tokens; from userdb.models import Tenant\n"
            "print(tokens.create(Tenant.objects.get(name='alpha'), 'tests')[0])"
        )

    def manage(self, *command: str) -> str:
        done = self.run("manage.py", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def python(self, lines: str) -> str:
        """Run lines inside the host project's Django; return what they print."""
        done = self.run("manage.py", "shell", "--no-imports", "-c", lines)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def tables(self, alias: str) -> set[str]:
        lines = f"from django.db import connections; print(*connections[{alias!r}].introspection.table_names())"
        return set(self.python(lines).split())


@pytest.fixture(scope="session")
def mariadb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if os.environ.get("USERDB", "") == "sqlite":
        pytest.skip("USERDB=sqlite")
    server = MariaDB(tmp_path_factory.mktemp("mariadb"), free_port())
    try:
        server.start()
    except MissingServer as error:
        pytest.exit(str(error), returncode=1)
    yield server.url
    server.stop()


def copy_to(folder: Path, userdb_url: str) -> Platform:
    shutil.copytree(MINIATURE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Platform(folder, userdb_url)


@pytest.fixture
def new_platform(tmp_path: Path) -> Platform:
    """Before any migration, on SQLite."""
    folder = tmp_path / "platform"
    return copy_to(folder, f"sqlite:///{tmp_path / 'data' / 'userdb.sqlite3'}")


@pytest.fixture(scope="session", params=["sqlite", "mysql"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Migrated as docs/adopting.md says, with the tenant alpha."""
    folder = tmp_path_factory.mktemp("host")
    url = f"sqlite:///{folder / 'data' / 'userdb.sqlite3'}"
    if request.param == "mysql":
        url = request.getfixturevalue("mariadb_url")
    made = copy_to(folder / "platform", url)
    for command in manage_commands():
        made.manage(*command)
    made.python("from userdb.models import Tenant; Tenant.objects.create(name='alpha')")
    return made


@dataclass
class Site:
    """The miniature's gateway as a process, with a metrics port."""

    url: str
    metrics: str

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def sample(self, line: str) -> float:
        """Return the value of one series as the metrics port tells it, 0 for none."""
        with urllib.request.urlopen(f"{self.metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        values = [row.rpartition(" ")[2] for row in text.splitlines() if row.rpartition(" ")[0] == line]
        return float(values[0]) if values else 0.0


Start = Callable[[Platform], Site]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(platform)` serves it with waitress until the test ends; a stop that is not clean fails the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def serve(platform: Platform) -> Site:
        port, metrics = free_port(), free_port()
        environment = platform.environment | {"METRICS_LISTEN_ADDRESS": f"127.0.0.1:{metrics}"}
        command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "portal.wsgi:application"]
        log = (platform.folder / "site.log").open("wb")
        with log:
            process = subprocess.Popen(command, cwd=platform.folder, env=environment, stdout=log, stderr=log)
        processes.append(process)
        site = Site(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}")
        ends = time.monotonic() + 20
        while time.monotonic() < ends and process.poll() is None:
            with suppress(OSError):
                site.get("/")
                return site
            time.sleep(0.05)
        pytest.fail((platform.folder / "site.log").read_text())

    yield serve
    for process in processes:
        process.send_signal(signal.SIGINT)
        process.wait(10)
