"""What failed, by name: one of the closed set of failure types. Called by `runs.py` when a child has ended.

In: how it ended and the ends of its output. Out: a `Verdict`, or None for a success. Strongest first: what we did ourselves
(timeout, no such command), what the kernel did (out of memory, a crash), what the program said (rules), its exit code.
"""

import re
import signal
from collections.abc import Iterable
from typing import NamedTuple

from exporters.gateway_client.rules import Rule

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_LONGEST_LINE = 4096
"""Characters of a line that are searched: a pattern with `.*` takes time with the square of a line's length."""
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS})


class Evidence(NamedTuple):
    """What is known of a run that has ended."""

    exit_code: int
    signal: int | None = None
    timed_out: bool = False
    oom_kills: int = 0
    not_started: str = ""
    """Why the command could not be started, empty when it was."""
    stdout: bytes = b""
    stderr: bytes = b""


class Verdict(NamedTuple):
    """The failure's name, the rule that found it (if one did), and one line that says it."""

    failure_type: str
    message: str
    rule: str = ""


def classify(evidence: Evidence, rules: Iterable[Rule]) -> Verdict | None:
    """Return what failed, None for a success."""
    if evidence.not_started:
        return Verdict("missing_command", evidence.not_started)
    if evidence.timed_out:
        return Verdict("timeout", "timed out")
    if evidence.exit_code == 0:
        return by_rule([rule for rule in rules if rule.always], evidence.stderr, evidence.stdout)
    number = evidence.signal or _signal_of_shell(evidence.exit_code)
    if evidence.oom_kills and number == signal.SIGKILL:
        return Verdict("out_of_memory", "killed by the kernel: out of memory")
    if number in _CRASHES:
        return Verdict("signal", f"crashed: {_named(number)}")
    found = by_rule(rules, evidence.stderr, evidence.stdout)
    if found is not None:
        return found
    if evidence.oom_kills:
        return Verdict("out_of_memory", "one of its processes was killed by the kernel: out of memory")
    if number is not None:
        return Verdict("signal", f"ended by {_named(number)}")
    if evidence.exit_code in (126, 127):  # a shell's word for what it could not start
        return Verdict("missing_command", f"exit code {evidence.exit_code}: a command is missing or can't be executed")
    return Verdict("nonzero_exit", f"exit code {evidence.exit_code}")


def _signal_of_shell(code: int) -> int | None:
    """Return the signal that a shell reports as 128+n; only those that end a program by themselves."""
    number = code - 128
    ends = {*_CRASHES, signal.SIGABRT, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTRAP}
    return number if number in ends else None


def _named(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def by_rule(rules: Iterable[Rule], *outputs: bytes) -> Verdict | None:
    """Return what the first rule says that is found in any of the outputs."""
    texts: list[str] = []
    for rule in rules:
        texts = texts or [searchable(output) for output in outputs]
        for text in texts:
            match = rule.pattern.search(text)
            if match is not None:
                return Verdict(rule.failure_type, _message(match), rule.name)
    return None


def _message(match: re.Match[str]) -> str:
    named = match.groupdict().get("message")
    if named and named.strip():
        return named.strip()
    text = match.string
    begin = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.end())
    return text[begin : end if end >= 0 else len(text)].strip()


def searchable(output: bytes) -> str:
    """Return output as text: no colours, lines cut, whatever was no UTF-8 replaced."""
    text = _ANSI.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(line[:_LONGEST_LINE] for line in text.split("\n"))
