"""One process of the chain that may be killed, paused and started again; and MariaDB in the same shape."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tests.mariadb import MariaDB

ROOT = Path(__file__).resolve().parents[3]


class Victim(Protocol):
    """What a trouble may happen to."""

    name: str

    def start(self) -> None:
        """Start and return once it answers."""

    def kill(self) -> None: ...

    def signal(self, number: int) -> None: ...


class Member:
    """One program. `died` names each time that it ended though nobody had killed it."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], folder: Path, ready: str) -> None:
        self.name, self.log, self.died = name, folder / f"{name}.log", list[str]()
        self._command, self._env, self._ready = command, env, ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self.died.append(f"{self.name} ended by itself with {self._process.returncode}")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        ends = time.monotonic() + 60
        while not _answers(self._ready):
            if self._process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{self.name} did not start: {self.log.read_text()[-1500:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is not None:
            self.died.append(f"{self.name} ended by itself with {self._process.returncode}")
        self._process.kill()
        self._process.wait(20)
        self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


class Database:
    """A MariaDB in the shape of a member."""

    name = "mariadb"

    def __init__(self, server: MariaDB) -> None:
        self.server = server

    def start(self) -> None:
        self.server.start()

    def kill(self) -> None:
        self.server.stop(signal.SIGKILL)

    def signal(self, number: int) -> None:
        assert self.server.process is not None
        os.kill(self.server.process.pid, number)


def _answers(url: str) -> bool:
    """Return whether a URL is answered, or, for `tcp://`, a port is open."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "tcp":
            socket.create_connection((str(parts.hostname), int(parts.port or 0)), 1).close()
        else:
            urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True
