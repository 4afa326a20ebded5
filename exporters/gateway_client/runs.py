"""`gateway-client run`: one run of a simulator, from its command to what is kept of it.

In: a command line. Out: the command's own exit code; in the spool one counted run, and a report when it failed. The child is
started first and noted then, so that it waits for nothing of ours. Nothing that goes wrong here ever touches the child.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exporters.gateway_client import cgroup
from exporters.gateway_client.process import Child, Ended
from exporters.gateway_client.spool import Event, Spool, SpoolError, Started

TIMED_OUT = 124
"""Exit code of a run that was ended at its timeout, as `timeout` of coreutils has it."""
NOT_EXECUTABLE, NOT_FOUND = 126, 127


class Options(NamedTuple):
    """What the command line says."""

    command: list[str]
    task: str
    timeout: float | None
    grace: float
    federation: str
    rules: str


class _Notes:
    """The spool, as a run sees it: trouble with it is said once and costs nothing else."""

    def __init__(self) -> None:
        self.spool: Spool | None = None
        self._said = False

    def say(self, error: Exception) -> None:
        if not self._said:
            sys.stderr.write(f"gateway-client: this run can't be kept: {error}\n")
        self._said = True

    def start(self, run: Started) -> None:
        try:
            self.spool = Spool()
            self.spool.start(run)
        except (SpoolError, OSError) as error:
            self.say(error)

    def finish(self, run: Started, seconds: float, event: Event | None) -> None:
        try:
            self.spool = self.spool or Spool()
            self.spool.finish(run, seconds, event)
            self.spool.leave()
        except (SpoolError, OSError) as error:
            self.say(error)


def run(options: Options) -> int:
    """Run the command; return its exit code."""
    user_rules = _user_rules(options.rules)
    kills_before = cgroup.oom_kills()
    started = Started(os.urandom(16).hex(), options.task, time.time())
    child = Child(options.command, options.timeout, options.grace)
    notes = _Notes()
    ended: Ended | None = None
    code, not_started = 0, ""
    try:
        child.start(_environment(options, started))
    except OSError as error:
        code, not_started = _not_started(options.command[0], error)
        sys.stderr.write(f"gateway-client: {not_started}\n")
    notes.start(started)
    if not not_started:
        ended = child.wait()
        code = TIMED_OUT if ended.timed_out else ended.exit_code
    event = None
    if code or (user_rules and any(rule.always for rule in user_rules)):
        kills = (cgroup.oom_kills() or 0) - (kills_before or 0)
        event = _failure(options, started, child, ended, not_started, kills, user_rules)
    notes.finish(started, ended.seconds if ended else 0.0, event)
    _hand_over(notes)
    return code


def _user_rules(path: str) -> list:  # type: ignore[type-arg]
    if not path:
        return []
    from exporters.gateway_client import rules

    return rules.read(Path(path))


def _environment(options: Options, run: Started) -> dict[str, str]:
    """Return the child's environment: ours, and what ties its own reports to this run."""
    more = {"GATEWAY_TASK": options.task, "GATEWAY_RUN_ID": run.run_id}
    if options.federation:
        more["GATEWAY_FEDERATION"] = options.federation
    return {**os.environ, **more}


def _not_started(command: str, error: OSError) -> tuple[int, str]:
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    return code, f"{command}: {error.strerror or error}"


def _failure(
    options: Options,
    run: Started,
    child: Child,
    ended: Ended | None,
    not_started: str,
    kills: int,
    user_rules: Sequence[object],
) -> Event | None:
    from exporters.gateway_client import classify, evidence, rules

    found = classify.classify(
        classify.Evidence(
            exit_code=ended.exit_code if ended else 0,
            signal=ended.signal if ended else None,
            timed_out=ended.timed_out if ended else False,
            oom_kills=kills,
            not_started=not_started,
            stdout=child.stdout.last(),
            stderr=child.stderr.last(),
        ),
        [*user_rules, *rules.builtin()],  # type: ignore[list-item]
    )
    if found is None:
        return None
    more = {"federation": options.federation} if options.federation else {}
    return evidence.event(run, options.command, child, ended, found, **more)


def _hand_over(notes: _Notes) -> None:
    """Try once to send what waits, if nobody else does."""
    if notes.spool is None or not os.environ.get("GATEWAY_URL", "").strip():
        return
    try:
        if notes.spool.waiting():
            from exporters.gateway_client import sender

            sender.try_once(notes.spool, seconds=2.0)
    except (SpoolError, OSError) as error:
        notes.say(error)
