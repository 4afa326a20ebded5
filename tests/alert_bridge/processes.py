"""Real processes of the project on the tests' databases, and how to ask them over HTTP."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from django.db import connections

from tests.alert_bridge.receivers import until
from tests.mariadb import free_port
from userdb.router import alias

PROGRAMS = Path(sys.executable).parent


def userdb_url() -> str:
    """Return the USERDB_URL of the database that the test itself uses; its rows must be committed (transaction=True)."""
    settings = connections[alias()].settings_dict
    if connections[alias()].vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    return f"mysql://root@127.0.0.1:{settings['PORT']}/{settings['NAME']}"


def environment(url: str | None = None, **more: str | None) -> dict[str, str]:
    """Return the environment of a process of the bridge; a None takes a variable away."""
    kept = (
        "PATH", "HOME", "LANG", "DJANGO_SECRET_KEY", "USERDB_SECRET_KEYS", "WEBHOOK_TOKEN", "DJANGO_TIME_ZONE",
        "CHANNEL_ALLOWED_NETWORKS", "ALERTMANAGER_URL",
    )  # fmt: skip
    made = {name: os.environ[name] for name in kept if name in os.environ}
    made |= {"USERDB_URL": url or userdb_url()}
    for name, value in more.items():
        made.pop(name, None)
        if value is not None:
            made[name] = value
    return made


class Answer(NamedTuple):
    """An HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(url: str, body: bytes | None = None, method: str | None = None, **headers: str) -> Answer:
    """Ask once; an underscore in a header's name stands for a hyphen. OSError: nobody is there."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def _is_locked() -> bool:
    userdb = connections[alias()]
    if userdb.vendor != "sqlite":
        return False
    with closing(sqlite3.connect(userdb.settings_dict["NAME"], timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


class Process:
    """One started program. Its standard error is kept in a file."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as stream:
            self._popen = subprocess.Popen([PROGRAMS / command[0], *command[1:]], env=env, stdout=stream, stderr=stream)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def pause(self) -> None:
        """Stop it for a while, but not while it holds the lock of all of SQLite: nobody else could go on then."""
        while True:
            self.signal(signal.SIGSTOP)
            if not _is_locked():
                return
            self.signal(signal.SIGCONT)
            time.sleep(0.01)

    def wait(self, seconds: float = 15) -> int:
        return self._popen.wait(seconds)

    def text(self) -> str:
        return self.log.read_text()

    def end(self) -> None:
        """End it the hard way if it still runs."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.kill()
        self._popen.wait(15)

    def alive(self) -> bool:
        return self._popen.poll() is None


@contextmanager
def running(*command: str, env: Mapping[str, str], folder: Path, ready: str | None = None) -> Iterator[Process]:
    """Run a program for the block; `ready`: a URL that has to answer first."""
    process = Process(list(command), env, folder / f"{command[0]}-{command[1]}-{free_port()}.log")

    def answers() -> bool:
        assert process.alive(), process.text()
        try:
            return ready is None or ask(ready).status < 500
        except OSError:
            return False

    try:
        until(answers, 30, f"{' '.join(command)} is ready")
        yield process
    finally:
        process.end()


@contextmanager
def web(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[tuple[Process, str, str]]:
    """Run `alert-bridge web`; yield it, the site's URL and that of its metrics."""
    site, metrics = free_port(), free_port()
    flags = [f"--web.listen-address=127.0.0.1:{site}", f"--metrics.listen-address=127.0.0.1:{metrics}"]
    urls = f"http://127.0.0.1:{site}", f"http://127.0.0.1:{metrics}"
    ready = f"{urls[0]}/admin/login/"
    with running("alert-bridge", "web", *flags, env=env or environment(), folder=folder, ready=ready) as process:
        yield process, *urls


@contextmanager
def relay(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[tuple[Process, str]]:
    """Run `alert-bridge relay`; yield it and the URL of its metrics."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    flags = [f"--web.listen-address=127.0.0.1:{port}"]
    ready = f"{url}/healthz"
    with running("alert-bridge", "relay", *flags, env=env or environment(), folder=folder, ready=ready) as process:
        yield process, url


def tell(site: str, body: bytes) -> Answer:
    """Post one webhook as Alertmanager does."""
    return ask(
        f"{site}/webhooks/alertmanager", body, Authorization="Bearer webhook-token", Content_Type="application/json"
    )
