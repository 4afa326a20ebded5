"""A child's output on its way: forwarded byte for byte at once, its end remembered. Called by `process.py`.

Standard output and standard error are pipes of our own, or pseudo-terminals where ours is a terminal, so that a program
buffers and colours as it would without us. Where both are the same file (a terminal, `2>&1`), the child gets one channel for
both, so that their order stays exact; its end then counts as standard output.
"""

import errno
import fcntl
import os
import select
import sys
import termios
from contextlib import suppress

WINDOW = 128 * 1024
"""Bytes of each channel's end that are searched when a run has failed. Memory is at most five times this for each channel."""
_FULL, _WIDE = 64 * 1024, 1024 * 1024
"""Bytes in a pipe: what is a full one by default, and what one is widened to."""
_F_SETPIPE_SZ = 1031  # Linux; the module has it from Python 3.10 on Linux only


class Tail:
    """The last WINDOW bytes of what was added, however long its lines are."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.total = 0

    def add(self, part: memoryview) -> None:
        self.total += len(part)
        if len(part) >= WINDOW:
            self._data[:] = part[-WINDOW:]
            return
        self._data += part
        if len(self._data) > 2 * WINDOW:
            del self._data[:-WINDOW]

    def last(self, size: int = WINDOW) -> bytes:
        return bytes(self._data[-min(size, WINDOW) :])


class Channel:
    """One way of output: what the child writes to `child_end` is moved to `target`."""

    def __init__(self, target: int, child_fds: tuple[int, ...]) -> None:
        self.target, self.child_fds = target, child_fds
        self.tail = Tail()
        self.is_terminal = os.isatty(target)
        if self.is_terminal:
            from exporters.gateway_client.terminal import open_like

            self.source, self.child_end = open_like(target)
        else:
            self.source, self.child_end = os.pipe()
        self._buffer = memoryview(bytearray(_WIDE))
        self._wide = False
        self._splices = not self.is_terminal
        self._much = False
        self._lossy = False

    def _widen(self) -> None:
        """Give a flood room on both sides (1.6 times as fast); not before there is one: a user's pipe memory is limited."""
        self._wide = True
        for end in (self.source, self.target):
            with suppress(OSError):  # it is no pipe, or the memory is used up: slower, nothing more
                fcntl.fcntl(end, _F_SETPIPE_SZ, _WIDE)

    def close_child_end(self) -> None:
        os.close(self.child_end)

    def move(self) -> bool:
        """Move what is there; return False when nothing will come any more, and then close the source."""
        if self._much and self._splices:
            self._pass_on()
        try:
            size = os.readv(self.source, [self._buffer])
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:  # how a pseudo-terminal says that nobody writes any more
                raise
            size = 0
        part, self._much = self._buffer[:size], size >= WINDOW
        if size >= _FULL and not self._wide:
            self._widen()
        self.tail.add(part)
        if size and self._forward(part):
            return True
        os.close(self.source)  # with our reader gone, the child gets its own SIGPIPE
        return False

    def _forward(self, part: memoryview) -> bool:
        """Write everything; return False when nobody reads it any more."""
        while part:
            try:
                part = part[os.write(self.target, part) :]
            except BlockingIOError:  # whoever gave us this file made it non-blocking
                poll = select.poll()
                poll.register(self.target, select.POLLOUT)
                poll.poll()
            except BrokenPipeError:
                return False
            except OSError as error:  # a full disk: a program that heeds it no more than most goes on, and so do we
                if not self._lossy:
                    os.write(2, f"gateway-client: output is lost: {error.strerror}\n".encode())
                self._lossy = True
                return True
        return True

    def _pass_on(self) -> None:
        """Move what WINDOW bytes or more stand behind: it is no part of the end, so the kernel moves it without a copy."""
        waiting = int.from_bytes(fcntl.ioctl(self.source, termios.FIONREAD, bytes(4)), sys.byteorder)
        surplus = waiting - WINDOW
        try:
            while surplus > 0:
                moved = os.splice(self.source, self.target, surplus)
                surplus -= moved
                self.tail.total += moved
        except OSError:  # not to this kind of file, or nobody reads it: the ordinary way finds out which
            self._splices = False


def keep_closed_what_is() -> None:
    """Occupy the standard streams that are closed, so that no file of ours is taken for one; the child finds them closed."""
    while (spare := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(spare)


def open_channels() -> list[Channel]:
    """Return the channels of standard output and standard error; a closed one stays closed for the child."""
    places = {number: _place(number) for number in (1, 2)}
    if places[1] is not None and places[1] == places[2]:
        return [Channel(1, (1, 2))]
    return [Channel(number, (number,)) for number, place in places.items() if place is not None]


def _place(number: int) -> tuple[int, int, int] | None:
    if fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:  # was closed: what is there now is our own
        return None
    stat = os.fstat(number)
    return stat.st_dev, stat.st_ino, stat.st_rdev
