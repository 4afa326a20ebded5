"""A copy of the miniature host project in a folder of its own, migrated, on SQLite and on MariaDB; run as real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.adopting.document import MINIATURE, SOURCE, manage_commands
from tests.mariadb import MariaDB, MissingServer, free_port

_WORKER = """
import contextlib, io, json, sys
import django
django.setup()
for line in sys.stdin:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(json.loads(line), {})
    print(json.dumps(out.getvalue()), flush=True)
"""


@dataclass
class Platform:
    """The miniature in its folder. `manage` runs one of its commands, `python` a few lines inside its Django."""

    folder: Path
    userdb_url: str
    extra: dict[str, str] = field(default_factory=dict)
    _worker: "subprocess.Popen[str] | None" = None

    @property
    def environment(self) -> dict[str, str]:
        # nothing of the tests' own settings: a host project has none of them
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PYTHONPATH": str(SOURCE),
            "PYTHONWARNINGS": "error",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PORTAL_SECRET_KEY": "only-for-tests",
            "USERDB_URL": self.userdb_url,
            **self.extra,
        }

    def run(self, *command: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder, env=environment or self.environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    def manage(self, *command: str) -> str:
        done = self.run("manage.py", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def python(self, lines: str) -> str:
        """Run lines in a process of the host project, the same for all of a test run; return what they print."""
        if self._worker is None:
            self._worker = subprocess.Popen(
                [sys.executable, "-c", _WORKER],
                cwd=self.folder, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        worker = self._worker
        assert worker.stdin is not None and worker.stdout is not None  # noqa: PT018
        worker.stdin.write(json.dumps(lines) + "\n")
        worker.stdin.flush()
        said = worker.stdout.readline()
        assert said, "the host project's process has died: its traceback is above"
        return str(json.loads(said)).strip()

    def end(self) -> None:
        """End the process of `python`."""
        if self._worker is not None:
            self._worker.communicate(timeout=10)
            self._worker = None

    def in_container(self, site: str, token: str, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as a tenant's container does: no Django settings, no database; a token in a file, a spool."""
        secret = self.folder.parent / "token"
        secret.write_text(token + "\n")
        hidden = ("USERDB_URL", "DJANGO_SETTINGS_MODULE")
        environment = {name: value for name, value in self.environment.items() if name not in hidden} | {
            "GATEWAY_URL": site,
            "GATEWAY_TOKEN_FILE": str(secret),
            "GATEWAY_SPOOL": str(self.folder.parent / "spool"),
        }
        return self.run(*command, environment=environment)

    def token(self) -> str:
        """Make a reporter token of alpha."""
        return self.python(
            "from userdb import tokens; from userdb.models import Tenant\n"
            "print(tokens.create(Tenant.objects.get(name='alpha'), 'tests')[0])"
        )

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
def new_platform(tmp_path: Path) -> Iterator[Platform]:
    """Before any migration, on SQLite."""
    made = copy_to(tmp_path / "platform", f"sqlite:///{tmp_path / 'data' / 'userdb.sqlite3'}")
    yield made
    made.end()


@pytest.fixture(scope="session", params=["sqlite", "mysql"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Migrated as docs/adopting.md says, with the tenant alpha."""
    folder = tmp_path_factory.mktemp("host")
    url = f"sqlite:///{folder / 'data' / 'userdb.sqlite3'}"
    if request.param == "mysql":
        url = request.getfixturevalue("mariadb_url")
    made = copy_to(folder / "platform", url)
    for command in manage_commands():
        made.manage(*command)
    made.python("from userdb.models import Tenant; [Tenant.objects.create(name=n) for n in ('alpha', 'beta')]")
    yield made
    made.end()


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


class _Pod(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if "missing" in self.path else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def pod() -> Iterator[str]:
    """A tenant's pod that answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pod) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def site(platform: Platform, pod: str) -> Iterator[Site]:
    """The gateway of the miniature, served by waitress: alpha's pod answers, beta's is gone, nobody is no tenant."""
    port, metrics = free_port(), free_port()
    environment = platform.environment | {
        "METRICS_LISTEN_ADDRESS": f"127.0.0.1:{metrics}",
        "PODS": json.dumps({"alpha": pod, "beta": "http://127.0.0.1:1", "nobody": pod}),
    }
    command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "portal.wsgi:application"]
    log = platform.folder / "site.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=platform.folder, env=environment, stdout=out, stderr=out)
    made = Site(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}")
    try:
        _wait_for(made, process, log)
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def _wait_for(site: Site, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends and process.poll() is None:
        with suppress(OSError):
            site.get("/")
            return
        time.sleep(0.05)
    pytest.fail(log.read_text())
