"""`gateway-client run`: one run of a simulator, from its command to what is kept of it.

In: a command line. Out: the command's own exit code; in the spool one counted run, and a report when it failed. Nothing that
goes wrong here ever touches the child.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exporters.gateway_client import cgroup
from exporters.gateway_client.process import Child, Ended
from exporters.gateway_client.spool import Event, Spool, SpoolError, Started
from exporters.gateway_client.streams import keep_closed_what_is
from runtime.settings import SettingsError

if TYPE_CHECKING:
    from exporters.gateway_client.rules import Rule

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
    """The spool, as a run sees it: trouble with it is said once and costs the child nothing."""

    def __init__(self) -> None:
        self.spool = Spool()

    def start(self, run: Started) -> None:
        """Note the start; what can't be noted is made up for at the end."""
        with suppress(SpoolError, OSError):
            self.spool.start(run)

    def finish(self, run: Started, seconds: float, event: Event | None) -> None:
        """Note the end, in the spool or beside it, and do what waits there."""
        try:
            self.spool.finish(run, seconds, event)
            self.spool.leave()
        except (SpoolError, OSError) as error:
            self._beside(run, seconds, event, error)
        else:
            self._hand_over()

    def _beside(self, run: Started, seconds: float, event: Event | None, error: Exception) -> None:
        from exporters.gateway_client import journal

        try:
            place = journal.write(self.spool, run, seconds, event)
        except OSError as worse:
            _say(f"{error}; {worse}: this run is not counted")
        else:
            _say(f"{error}: kept in {place} until the spool can be written")

    def _hand_over(self) -> None:
        """Do what the others of this spool have left, and try once to send what waits, if nobody else does."""
        try:
            if self.spool.others_need_us():
                from exporters.gateway_client import upkeep

                upkeep.keep_up(self.spool)
            if os.environ.get("GATEWAY_URL", "").strip() and self.spool.waiting():
                from exporters.gateway_client import sender

                sender.try_once(self.spool, seconds=2.0)
        except (SpoolError, SettingsError, OSError) as error:
            _say(f"reports wait: {error}")


def _say(text: str) -> None:
    sys.stderr.write(f"gateway-client: {text}\n")


def run(options: Options) -> int:
    """Run the command; return its exit code."""
    keep_closed_what_is()
    user_rules = _user_rules(options.rules)
    kills_before = cgroup.oom_kills()
    started = Started(os.urandom(16).hex(), options.task, time.time(), options.federation)
    notes, child = _Notes(), Child(options.command, options.timeout, options.grace)
    notes.start(started)  # before the child: whatever ends us from here on, the run is known
    ended, not_started = None, ""
    try:
        child.start(_environment(options, started.run_id))
    except OSError as error:
        code, not_started = _not_started(error)
        _say(f"{options.command[0]}: {not_started}")
    else:
        ended = child.wait()
        code = TIMED_OUT if ended.timed_out else ended.exit_code
    try:
        event = None
        if code or any(rule.always for rule in user_rules):
            kills = (cgroup.oom_kills() or 0) - (kills_before or 0)
            event = _failure(started, child, ended, not_started, kills, user_rules)
        notes.finish(started, ended.seconds if ended else 0.0, event)
    except Exception:  # noqa: BLE001  (whatever is wrong with us, the exit code is the child's)
        sys.excepthook(*sys.exc_info())
    return code


def _user_rules(path: str) -> "list[Rule]":
    """Return the user's own rules; raise RulesError at the start, not at the first failure."""
    if not path:
        return []
    from exporters.gateway_client import rules

    return rules.read(Path(path))


def _environment(options: Options, run_id: str) -> dict[str, str]:
    """Return the child's environment: ours, and what ties its own reports to this run."""
    more = {"GATEWAY_TASK": options.task, "GATEWAY_RUN_ID": run_id}
    if options.federation:
        more["GATEWAY_FEDERATION"] = options.federation
    return {**os.environ, **more}


def _not_started(error: OSError) -> tuple[int, str]:
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    return code, error.strerror or str(error)


def _failure(
    run: Started, child: Child, ended: Ended | None, not_started: str, kills: int, user_rules: "Sequence[Rule]"
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
        [*user_rules, *rules.builtin()],
    )
    return None if found is None else evidence.event(run, child, ended, found)
