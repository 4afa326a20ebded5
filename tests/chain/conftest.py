"""The chain as a person starts it: `python -m local.run` in a folder and on ports of the test's own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from local.places import PROGRAMS, SOURCE
from local.ports import Ports
from tests.mariadb import free_port

_OWN = ("USERDB", "DJANGO_", "WEBHOOK_", "GATEWAY_", "TENANT", "PORT_", "LOCAL_VAR")


def until(is_true: Callable[[], object], seconds: float) -> None:
    """Wait for a condition; fail when it does not come true."""
    ends = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < ends, f"did not happen within {seconds:g} s"
        time.sleep(0.1)


@dataclass
class Run:
    """One local run."""

    var: Path
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None

    @property
    def out(self) -> Path:
        return self.var.parent / "out"

    def start(self, *arguments: str, **variables: str) -> "Run":
        command = [sys.executable, "-m", "local.run", *arguments]
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=SOURCE, env=self.environment | variables, stdout=out, stderr=out, text=True
            )
        return self

    def said(self) -> str:
        return self.out.read_text()

    def wait(self, seconds: float) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)

    def processes(self) -> dict[int, str]:
        """Return the command lines of everything that runs for this run's folder, by process id."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (path / "environ").read_bytes().decode("utf-8", "replace")
            except OSError:  # gone meanwhile
                continue
            if words and (str(self.var) in words or str(self.var) in environment):
                found[int(path.name)] = words
        return {pid: words for pid, words in found.items() if pid != os.getpid()}

    def pid(self, pattern: str) -> int | None:
        """Return the process whose command line matches, the wrapper `setpriv` left out."""
        for pid, words in self.processes().items():
            if re.search(pattern, words) and not words.startswith("setpriv"):
                return pid
        return None


@contextmanager
def run_in(folder: Path) -> Iterator[Run]:
    """Return a run that is not started yet; end it, and see that nothing is left."""
    ports = {f"PORT_{field.name.upper()}": str(free_port()) for field in fields(Ports)}
    var = folder / "var"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    # unpacked once for all tests
    path = os.pathsep.join([environment.get("PATH", os.defpath), str(PROGRAMS)])
    made = Run(var, environment | ports | {"LOCAL_VAR": str(var), "TZ": "Asia/Shanghai", "PATH": path})
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    until(lambda: not made.processes(), 20)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with run_in(tmp_path) as made:
        yield made
