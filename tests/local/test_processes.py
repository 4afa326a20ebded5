"""The chain's processes: what dies is started again, what is stopped leaves nothing behind, secrets go where they belong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local import places, processes
from local.processes import Processes, Program

pytestmark = pytest.mark.chain
SLEEPER = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (places, processes):
        monkeypatch.setattr(module, "VAR", tmp_path)
        monkeypatch.setattr(module, "LOGS", tmp_path / "log")


def until(is_true: Callable[[], object], seconds: float = 15) -> None:
    ends = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.05)


def pids(program: Program) -> list[int]:
    return [int(line) for line in program.log.read_text().split() if line.isdecimal()]


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() != b""


def test_a_process_that_is_killed_is_started_again() -> None:
    program = Program("sleeper", SLEEPER)
    with Processes([program]):
        until(lambda: pids(program))
        os.kill(pids(program)[0], signal.SIGKILL)
        until(lambda: len(pids(program)) == 2)
        assert lives(pids(program)[1])


def test_stopping_leaves_no_process_behind() -> None:
    program = Program("sleeper", SLEEPER)
    with Processes([program]):
        until(lambda: pids(program))
    assert not any(lives(pid) for pid in pids(program))


def test_a_process_that_ignores_the_signal_is_gone_within_ten_seconds() -> None:
    stubborn = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)"
    )
    program = Program("stubborn", [sys.executable, "-c", stubborn])
    with Processes([program]):
        until(lambda: pids(program))
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert not any(lives(pid) for pid in pids(program))


def test_who_kills_the_starter_ends_the_rest_too(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from local import processes\n"
        f"processes.VAR = Path({str(tmp_path)!r}); processes.LOGS = processes.VAR / 'log'\n"
        f"program = processes.Program('sleeper', {SLEEPER!r})\n"
        "with processes.Processes([program]): time.sleep(600)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=places.SOURCE)
    log = tmp_path / "log" / "sleeper.log"
    until(lambda: log.exists() and log.read_text().strip())
    pid = int(log.read_text().split()[0])
    starter.kill()
    starter.wait()
    until(lambda: not lives(pid))
    assert not lives(pid)


def test_a_program_sees_its_own_environment_and_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERDB_URL", "mysql://root:secret@db/userdb")
    show = [
        sys.executable,
        "-c",
        "import os; print(sorted(p for p in os.environ.items() if p[0].startswith(('USERDB_', 'TENANT'))))",
    ]
    tenant = Program("tenant", show, {"TENANT_ID": "de mo%s"}, once=True)
    with Processes([tenant]):
        until(lambda: "]" in tenant.log.read_text())
    assert tenant.log.read_text().strip() == "[('TENANT_ID', 'de mo%s')]"
