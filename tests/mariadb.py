"""A MariaDB server of the tests' own: a data directory under a temporary folder, no service, gone afterwards.

It stands in for MySQL 8 too, of which Debian has no server.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

INSTALL = "apt-get install mariadb-server-core mariadb-client-core, or run without it: USERDB=sqlite make test"


class MissingServer(Exception):
    """MariaDB is not installed; the text says what to install."""


_turns = count(os.getpid() * 37)  # test runs beside each other don't begin at the same port


def free_port() -> int:
    """Return a TCP port that nobody has, and that neither this process nor another of the same test run is given again.

    Below the range that the kernel takes ports of outgoing connections from; a part of it for each process of pytest-xdist.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    while True:
        port = 20_000 + 3_000 * worker + next(_turns) % 3_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def program(name: str) -> str:
    """Return the program's path; raise MissingServer."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/usr/local/sbin")
    if found is None:
        raise MissingServer(f"{name} is not there: {INSTALL}")
    return found


class MariaDB:
    """`server = MariaDB(folder, port); server.start(); ...; server.stop()`."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.folder, self.port, self.options = folder, port, options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/userdb"

    def make(self) -> None:
        """Make the data directory."""
        command = [program("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder / 'data'}"]
        options = [
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            f"--tmpdir={self.folder}",
            *self._user(),
        ]
        # its resolver looks up the host's name; what it says on success is of no use
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingServer(f"mariadb-install-db failed: {done.stdout[-800:]}{done.stderr[-800:]}")

    def start(self) -> None:
        """Start, wait until it answers, make the database `userdb`."""
        if not (self.folder / "data").exists():
            self.make()
        with (self.folder / "mariadbd.log").open("ab") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        self._wait()
        self.run("CREATE DATABASE IF NOT EXISTS userdb CHARACTER SET utf8mb4")

    def _command(self) -> list[str]:
        return [
            program("mariadbd"), "--no-defaults", f"--datadir={self.folder / 'data'}", f"--port={self.port}",
            f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}", "--bind-address=127.0.0.1",
            "--skip-name-resolve", "--max-allowed-packet=64M", "--innodb-flush-log-at-trx-commit=1",
            "--default-time-zone=+08:00", "--max-connections=400",
            # a server that starts removes temporary tables from its folder, those of another one in /tmp too, and aborts
            # when that one was faster
            f"--tmpdir={self.folder}", *self._user(), *self.options,
        ]  # fmt: skip

    def run(self, sql: str) -> None:
        """Execute SQL as root."""
        client = [program("mariadb"), "--no-defaults", "--user=root", f"--socket={self.folder / 's'}", "-e", sql]
        subprocess.run(client, check=True, capture_output=True)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, with SIGTERM or harder."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
            self.process.wait(30)
            self.process = None

    @staticmethod
    def _user() -> list[str]:
        return ["--user=root"] if os.getuid() == 0 else []

    def _wait(self) -> None:
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            if self.process is None or self.process.poll() is not None:
                break
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise MissingServer(f"mariadbd did not start: {(self.folder / 'mariadbd.log').read_text()[-800:]}")
