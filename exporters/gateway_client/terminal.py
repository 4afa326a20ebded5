"""Terminals: pseudo-terminals for output, and whose turn it is to read the keyboard. Called by `streams.py`, `process.py`.

The child has a process group of its own, so that all of it can be ended. The keyboard belongs to one group at a time: ours
until the child wants to read (the kernel then stops it with SIGTTIN), the child's from then on, ours again when it ends or
is suspended. A pipeline's other programs (`| less`) so keep the keyboard as long as the child does not ask for it.
"""

import fcntl
import os
import signal
import termios
from contextlib import suppress


def open_like(target: int) -> tuple[int, int]:
    """Return (our end, the child's end) of a pseudo-terminal with the terminal's size; the real one formats the output."""
    ours, childs = os.openpty()
    attributes = termios.tcgetattr(target)
    attributes[0] = 0
    attributes[1] &= ~termios.OPOST
    attributes[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    termios.tcsetattr(childs, termios.TCSANOW, attributes)
    copy_size(target, ours)
    return ours, childs


def copy_size(source: int, target: int) -> None:
    """Give one terminal the size of another."""
    with suppress(OSError):
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8)))


class Keyboard:
    """The terminal on standard input."""

    def __init__(self) -> None:
        self.lent = False
        self._own = os.getpgrp()
        # a group in the background may not touch the terminal's ownership, unless it ignores the signal that says so
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def lend(self, group: int) -> bool:
        """Give the keyboard to the group, if it is ours to give."""
        with suppress(OSError):
            if os.tcgetpgrp(0) in (self._own, group):
                os.tcsetpgrp(0, group)
                self.lent = True
                return True
        return False

    def take_back(self) -> None:
        if self.lent:
            with suppress(OSError):
                os.tcsetpgrp(0, self._own)
            self.lent = False


def keyboard() -> Keyboard | None:
    """Return the keyboard when standard input is this session's terminal."""
    try:
        os.tcgetpgrp(0)
    except OSError:
        return None
    return Keyboard()
