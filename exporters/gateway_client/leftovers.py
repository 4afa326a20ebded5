"""What a child leaves running when it ends: its process group, and orphans that came to us. Called by `process.py`.

They get SIGTERM at once and SIGKILL after the grace time. Orphans come to us as PID 1 of a container, and elsewhere because
we ask the kernel for them (`PR_SET_CHILD_SUBREAPER`).
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LAST_WAIT = 2.0
"""Seconds after SIGKILL in which even a slow kernel has ended a process."""


class Leftovers:
    """Those that outlive the main process."""

    def __init__(self, not_ours: frozenset[int]) -> None:
        self._not_ours = not_ours
        self._group = 0
        self._ended_at = 0.0
        self._told = False

    def main_ended(self, group: int) -> None:
        """Ask what is left of the group to end."""
        self._group, self._ended_at = group, time.monotonic()

    def are_gone(self, grace: float) -> bool:
        """Return whether nothing is left; what is, is told to end, and made to after the grace time."""
        left = list(self._left())
        if not left:
            return True
        waited = time.monotonic() - self._ended_at
        if not self._told:
            self._told = True
            _signal(left, signal.SIGTERM)
            _signal(left, signal.SIGCONT)
        elif waited >= grace:
            _signal(left, signal.SIGKILL)
        return waited >= grace + _LAST_WAIT

    def _left(self) -> Iterator[int]:
        """Yield what to signal: the negative group's number, and the children of ours."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, 0)
            yield -self._group
        yield from _children() - self._not_ours


def _signal(targets: list[int], number: int) -> None:
    for target in targets:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(target, number)


def _children() -> frozenset[int]:
    """Return our children that are alive or not yet reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()
    with suppress(OSError):
        return frozenset(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()))
    return frozenset()


def adopt_orphans() -> Leftovers:
    """Ask for the orphans of the child to be; return what will watch over them."""
    if os.getpid() != 1:
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return Leftovers(_children())
