"""The chain's processes under supervisord: started, started again when they die, stopped together.

In: programs with their commands and environments. Each gets what it needs and nothing else (a tenant's process sees no
credential of userdb). `setpriv --pdeathsig` ties each one to supervisord, and supervisord to us: whoever is killed, nothing
is left behind.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.places import LOGS, VAR
from local.ports import answers
from runtime.settings import SettingsError

STOP_SECONDS = 9.0
_OWN = ("USERDB_", "DJANGO_", "WEBHOOK_", "GATEWAY_", "TENANT")
_TIED = ["setpriv", "--pdeathsig", "TERM", "--"]


@dataclass(frozen=True)
class Program:
    """One process. `ready` is the URL that answers 200 once it can do its work."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: str = ""
    once: bool = False
    """It ends by itself and is not started again."""

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")  # supervisord expands %(name)s


def _section(program: Program) -> str:
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    restart = "unexpected" if program.once else "true"
    return (
        f"[program:{program.name}]\n"
        f"command={_escaped(shlex.join([*_TIED, *program.command]))}\n"
        f"environment={_escaped(environment)}\n"
        f"stdout_logfile={program.log}\n"
        "redirect_stderr=true\nstdout_logfile_maxbytes=20MB\nstdout_logfile_backups=1\n"
        f"autorestart={restart}\nstartsecs=0\nstartretries=100\n"
        "stopasgroup=true\nkillasgroup=true\nstopwaitsecs=6\n"
    )


def _configuration(programs: Sequence[Program]) -> str:
    names = ",".join(program.name for program in programs)
    head = (
        f"[supervisord]\nnodaemon=true\nuser={_user()}\nlogfile={LOGS / 'supervisord.log'}\n"
        f"pidfile={VAR / 'supervisord.pid'}\nchildlogdir={LOGS}\n\n"
    )
    # one group is stopped as a whole, not one program after the other
    return head + f"[group:chain]\nprograms={names}\n\n" + "\n".join(map(_section, programs))


def _user() -> str:
    return str(os.getuid())  # root must be named, or supervisord warns of it


class Processes:
    """`with Processes(programs) as chain: chain.wait_ready(60)`: all of them run, and none after."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs
        self._supervisord: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Processes":
        if "%" in str(LOGS):
            raise SettingsError(f"{LOGS}: supervisord can't write into a path with a %: set LOCAL_VAR to another one")
        LOGS.mkdir(parents=True, exist_ok=True)
        for program in self.programs:
            program.log.write_bytes(b"")  # a log of this run alone, so that its end explains a failure
        path = VAR / "supervisord.conf"
        path.touch(mode=0o600)
        path.write_text(_configuration(self.programs))
        command = [*_TIED, sys.executable, "-m", "supervisor.supervisord", "--configuration", str(path)]
        # a group of its own: Ctrl-C reaches us alone, and we stop the others in order
        with (LOGS / "supervisord.out").open("wb") as out:
            self._supervisord = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=_bare_environment(),
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all of them; kill what has not ended after STOP_SECONDS."""
        supervisord, self._supervisord = self._supervisord, None
        if supervisord is None or supervisord.poll() is not None:
            return
        supervisord.send_signal(signal.SIGTERM)
        try:
            supervisord.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            supervisord.kill()  # the others are tied to it
            supervisord.wait()

    def alive(self) -> bool:
        return self._supervisord is not None and self._supervisord.poll() is None

    def wait_ready(self, seconds: float) -> list[Program]:
        """Wait until all are ready; return those that are not after so many seconds."""
        ends = time.monotonic() + seconds
        waiting = [program for program in self.programs if program.ready]
        while True:
            waiting = [program for program in waiting if not answers(program.ready)]
            if not waiting or time.monotonic() > ends or not self.alive():
                return waiting
            time.sleep(0.2)


def _bare_environment() -> dict[str, str]:
    """Return ours without the chain's own settings: each program is given those that it may know."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
