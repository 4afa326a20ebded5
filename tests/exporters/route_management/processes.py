"""`route-management` as an operator runs it: real processes on a userdb of their own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from tests.mariadb import MariaDB, free_port

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PROGRAM = [sys.executable, "-c", "from exporters.route_management.cli import main; main()"]


def environment(url: str) -> dict[str, str]:
    """Return a process' environment: this userdb, and nothing of the test run's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("USERDB_", "DJANGO_", "WEBHOOK_", "REPORTS_"))}
    return kept | {
        "USERDB_URL": url,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def migrate(url: str) -> None:
    """Make userdb's tables, as `python manage.py migrate` does."""
    keys = {"USERDB_SECRET_KEYS": Fernet.generate_key().decode(), "DJANGO_SECRET_KEY": "x" * 50}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"]
    subprocess.run(command, env=environment(url) | keys, check=True, capture_output=True, timeout=50)


def run(url: str, *arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    """Run `route-management ARGUMENTS` to its end."""
    env = environment(url) | changes
    return subprocess.run(
        [*PROGRAM, *arguments], env=env, cwd="/", capture_output=True, text=True, timeout=50, check=False
    )


def rows_of(server: MariaDB, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Return what a statement finds in a MariaDB server's userdb."""
    import MySQLdb

    with closing(MySQLdb.connect(host="127.0.0.1", port=server.port, user="root", database="userdb")) as connection:
        cursor = connection.cursor()
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall())


Answer = tuple[int, dict[str, str], str]


def ask(url: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
    """Return status, headers and text of a real request; `body` that is not bytes goes as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, _lower(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _lower(error.headers), error.read().decode()


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@dataclass
class Web:
    """A running `route-management web`."""

    url: str
    log: Path
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, **changes: str) -> None:
        at = [f"--web.listen-address=127.0.0.1:{self.port}", f"--metrics.listen-address=127.0.0.1:{self.metrics_port}"]
        with self.log.open("ab") as log:
            env = environment(self.url) | changes
            self.process = subprocess.Popen([*PROGRAM, "web", *at], env=env, cwd="/", stdout=log, stderr=log)
        self.until(lambda: self.said("listening"), "it never listened")

    def until(self, true: Any, what: str, seconds: float = 20) -> None:
        """Wait until true() holds; AssertionError with the log when it does not."""
        ends = time.monotonic() + seconds
        while not true():
            gone = self.process is not None and self.process.poll() is not None
            assert time.monotonic() < ends and not gone, f"{what}:\n{self.log.read_text()}"  # noqa: PT018
            time.sleep(0.02)

    def said(self, text: str) -> bool:
        return text in self.log.read_text(encoding="utf-8")

    def report(self, token: str, *events: Any, **headers: str) -> Answer:
        at = f"http://127.0.0.1:{self.port}/api/v1/events"
        return ask(at, {"events": events}, Authorization=f"Bearer {token}", **headers)

    def port_of_metrics(self, path: str) -> Answer:
        return ask(f"http://127.0.0.1:{self.metrics_port}{path}")

    def metric(self, line: str) -> str:
        """Return the value of the one sample that begins with `line`."""
        (found,) = [s for s in self.port_of_metrics("/metrics")[2].splitlines() if s.startswith(f"{line} ")]
        return found.removeprefix(f"{line} ")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(url: str, log: Path, **changes: str) -> Iterator[Web]:
    """A web process for the time of a `with` block."""
    web = Web(url, log)
    try:
        web.start(**changes)
        yield web
    finally:
        if web.process is not None:
            web.stop(signal.SIGKILL)
