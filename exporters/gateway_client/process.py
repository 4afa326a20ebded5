"""One child process from its start to the end of all that it started. Called by `runs.py`.

In: a command, a timeout, a grace time. Out: how it ended, and the ends of its output. Signals that are meant for the child
reach its whole process group; after its end nothing of it stays behind. As the first process of a container (PID 1), and
where the kernel lets us, orphans come to us and are reaped.
"""

import errno
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NamedTuple

from exporters.gateway_client.leftovers import Leftovers, adopt_orphans
from exporters.gateway_client.streams import Channel, Tail, open_channels
from exporters.gateway_client.terminal import Keyboard, copy_size, keyboard

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
# Python ignores two of these, we the third: the child begins with the system's own settings
_AS_BEFORE = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU)


class Ended(NamedTuple):
    """How a child ended. Times in seconds (monotonic), memory in bytes: of itself and of the children it waited for."""

    status: int
    seconds: float
    cpu_seconds: float
    peak_memory: int
    timed_out: bool
    told: tuple[str, ...]
    """Names of the signals that were forwarded to it."""

    @property
    def signal(self) -> int | None:
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None

    @property
    def exit_code(self) -> int:
        """Return the code as a shell says it: 128+n for a signal."""
        return os.waitstatus_to_exitcode(self.status) if self.signal is None else 128 + self.signal


class _Enough(Exception):
    """Our own output has stood still for the grace time, and we were told to end."""


class Child:
    """One child. `start`, then `wait`."""

    def __init__(self, command: Sequence[str], timeout: float | None, grace: float) -> None:
        self.command, self.timeout, self.grace = list(command), timeout, grace
        self.channels: list[Channel] = []
        self.timed_out = False
        self.pid = 0
        self._told: list[str] = []
        self._ended: Ended | None = None
        self._keyboard: Keyboard | None = None
        self._ending = False
        self._wake = -1
        self._began = 0.0
        self._leftovers = Leftovers(frozenset())

    @property
    def stdout(self) -> Tail:
        return self._tail(1)

    @property
    def stderr(self) -> Tail:
        return self._tail(2)

    def _tail(self, number: int) -> Tail:
        return next((channel.tail for channel in self.channels if channel.target == number), Tail())

    def start(self, env: dict[str, str]) -> None:
        """Start the command; raise OSError when there is none that can be started."""
        self.channels = open_channels()
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._keyboard = keyboard()
        self._leftovers = adopt_orphans()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
        try:
            self._install_handlers()
            # before signals are heard again: a child may have ended by then
            self._began = time.monotonic()
            self.pid = self._spawn(env, before)
            if self.timeout is not None:
                signal.setitimer(signal.ITIMER_REAL, self.timeout)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for channel in self.channels:
                channel.close_child_end()

    def _spawn(self, env: dict[str, str], mask: set[int]) -> int:
        moves = [(os.POSIX_SPAWN_DUP2, c.child_end, number) for c in self.channels for number in c.child_fds]

        def spawn(command: list[str]) -> int:
            return os.posix_spawnp(
                command[0], command, env, file_actions=moves, setpgroup=0, setsigmask=mask, setsigdef=_AS_BEFORE
            )

        try:
            return spawn(self.command)
        except OSError as error:
            if error.errno != errno.ENOEXEC:  # a script without `#!`, which a shell would run itself
                raise
            return spawn(["/bin/sh", *self.command])

    def _install_handlers(self) -> None:
        for number in _FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                signal.signal(number, self._forward)
        signal.signal(signal.SIGCHLD, lambda *_: self._reap())
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGTSTP, self._suspend)
        signal.signal(signal.SIGCONT, self._resume)
        if any(channel.is_terminal for channel in self.channels):
            signal.signal(signal.SIGWINCH, self._resize)

    # --- handlers: they run even while the loop waits for a slow reader of our output --------------------------------

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._told.append(signal.Signals(number).name)
        self._ending = self._ending or number in _ENDING  # before the child can end of it
        self._kill(number)
        if self._ending and self._ended is not None:
            self._give_up_after_grace()

    def _give_up_after_grace(self) -> None:
        """From now on our output may stand still for the grace time, no longer."""
        signal.setitimer(signal.ITIMER_REAL, max(self.grace, 1.0))

    def _kill(self, number: int) -> None:
        if self.pid and self._ended is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._ended is not None:
            raise _Enough
        if self.timed_out:
            self._kill(signal.SIGKILL)
            return
        self.timed_out = self._ending = True
        self._kill(signal.SIGTERM)
        self._kill(signal.SIGCONT)  # a suspended one would never see it
        signal.setitimer(signal.ITIMER_REAL, max(self.grace, 0.001))

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self._kill(signal.SIGTSTP)
        os.kill(os.getpid(), signal.SIGSTOP)

    def _resume(self, number: int, frame: FrameType | None) -> None:
        self._kill(signal.SIGCONT)

    def _resize(self, number: int, frame: FrameType | None) -> None:
        for channel in self.channels:
            if channel.is_terminal:
                copy_size(channel.target, channel.source)
        self._kill(signal.SIGWINCH)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def wait(self) -> Ended:
        """Move its output until it and all that it started have ended."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        open_sources = {channel.source: channel for channel in self.channels}
        for source in open_sources:
            poll.register(source, select.POLLIN)
        try:
            self._reap()
            while self._goes_on(open_sources):
                for source, _ in poll.poll(self._pause()):
                    if source == self._wake:
                        self._drain_wake()
                    elif not open_sources[source].move():
                        poll.unregister(source)
                        del open_sources[source]
                self._reap()
            signal.setitimer(signal.ITIMER_REAL, 0)  # what follows is ours, and takes as long as it takes
        except _Enough:
            sys.stderr.write("gateway-client: nobody took the output: the rest of it is lost\n")
        if self._keyboard is not None:
            self._keyboard.take_back()
        return self._ended  # type: ignore[return-value]  # the loop goes on until it is there

    def _goes_on(self, open_sources: dict[int, Channel]) -> bool:
        if self._ended is None:
            return True
        if self._leftovers.are_gone(self.grace):
            # whoever still holds the pipe is none of ours: take what is in it, wait for no more
            for source, channel in list(open_sources.items()):
                os.set_blocking(source, False)
                while _is_readable(source):
                    if not channel.move():
                        del open_sources[source]
                        break
            return False
        return True

    def _pause(self) -> int | None:
        """Milliseconds until the loop must look again by itself."""
        return None if self._ended is None else 20

    def _drain_wake(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._wake, 4096):
                pass

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
                if pid == 0:
                    return
                if pid == self.pid and os.WIFSTOPPED(status):
                    self._stopped(os.WSTOPSIG(status))
                elif pid == self.pid:
                    self._has_ended(status, usage)

    def _stopped(self, number: int) -> None:
        """The child wants the keyboard, or it was suspended at it."""
        if self._keyboard is None:
            return
        if number in (signal.SIGTTIN, signal.SIGTTOU):
            if self._keyboard.lend(self.pid):
                self._kill(signal.SIGCONT)
        elif number == signal.SIGTSTP and self._keyboard.lent:
            self._keyboard.take_back()
            os.kill(os.getpid(), signal.SIGSTOP)

    def _has_ended(self, status: int, usage: resource.struct_rusage) -> None:
        seconds = time.monotonic() - self._began
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._ending:
            self._give_up_after_grace()
        cpu = usage.ru_utime + usage.ru_stime
        self._ended = Ended(status, seconds, cpu, usage.ru_maxrss * 1024, self.timed_out, tuple(self._told))
        self._leftovers.main_ended(self.pid)


def _is_readable(source: int) -> bool:
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return any(state & (select.POLLIN | select.POLLHUP) for _, state in poll.poll(0))
