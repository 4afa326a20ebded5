"""The command `gateway-client` as a process, and what its spool then holds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporters.gateway_client.spool import Spool

COMMAND = [sys.executable, "-m", "exporters.gateway_client"]
ROOT = Path(__file__).parents[3]


class Client:
    """`client.run("--task", "a", "--", "false")`; `client.reports()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, *arguments: str, input: bytes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=input,
            capture_output=True,
            cwd=ROOT,
            env=os.environ | env,
            timeout=50,
            check=False,
        )

    def run(self, *arguments: str, input: bytes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
        return self.call("run", *arguments, input=input, **env)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        env = os.environ | options.pop("env", {})
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, env=env, **options)

    def reports(self) -> list[dict[str, Any]]:
        spool = Spool(self.folder)
        kept = [json.loads(report.body) for report in spool.batch(10_000, 1 << 30)]
        spool.database.close()
        return kept

    def report(self) -> dict[str, Any]:
        (only,) = self.reports()
        return only


def counts(spool: Spool, task: str) -> tuple[int, int, int]:
    """Return a task's successes, failures, and failures in a row."""
    row: tuple[int, int, int] = spool.database.read(
        lambda c: c.execute(
            "SELECT successes, failures, consecutive_failures FROM task WHERE label = ?", (task,)
        ).fetchone()
    )
    return row


def tally(spool: Spool, name: str) -> dict[str, int]:
    return dict(
        spool.database.read(lambda c: c.execute("SELECT label, count FROM tally WHERE name = ?", (name,)).fetchall())
    )


def until(is_true: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until it is true and return what it said."""
    ends = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < ends, "it did not become true"
        time.sleep(0.02)
    return found
