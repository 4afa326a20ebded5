"""On a terminal a program sees a terminal: colours, size, keyboard, Ctrl-C and Ctrl-Z."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.exporters.gateway_client.client import COMMAND, ROOT, Client

pytestmark = pytest.mark.processes


class Terminal:
    """A shell-like session on a pseudo-terminal: our end sees what a person would."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execvp(command[0], command)  # noqa: S606
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        self.seen = b""

    def shows(self, text: bytes, seconds: float = 15) -> bytes:
        ends = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < ends, self.seen
            if select.select([self.screen], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.screen, 65536)
                except OSError:
                    assert text in self.seen, self.seen
        return self.seen

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def exit_code(self) -> int:
        ends = time.monotonic() + 15
        while time.monotonic() < ends:
            if select.select([self.screen], [], [], 0.02)[0]:
                with suppress(OSError):
                    self.seen += os.read(self.screen, 65536)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it goes on: {self.seen!r}")


@pytest.fixture
def terminal() -> Iterator[type[Terminal]]:
    made: list[Terminal] = []

    class Kept(Terminal):
        def __init__(self, *command: str) -> None:
            super().__init__(list(command))
            made.append(self)

    yield Kept  # type: ignore[misc]
    for one in made:
        os.close(one.screen)
        if one.pid:
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)


def test_the_program_sees_a_terminal_of_the_same_size(terminal: type[Terminal], client: Client) -> None:
    script = "import os, sys; input(); print([os.isatty(i) for i in range(3)], *os.get_terminal_size(1)); sys.exit(1)"
    screen = terminal(*COMMAND, "run", "--", sys.executable, "-c", script)  # type: ignore[arg-type, call-arg]
    screen.type(b"\n")
    screen.shows(b"[True, True, True] 99 33\r\n")
    assert screen.exit_code() == 1
    assert client.report()["detail"]["stdout"].endswith("[True, True, True] 99 33\n")


def test_what_is_typed_reaches_the_program_and_is_echoed_once(terminal: type[Terminal]) -> None:
    screen = terminal(*COMMAND, "run", "--", "sh", "-c", "read name; echo hello $name")  # type: ignore[arg-type, call-arg]
    screen.type(b"grid\n")
    screen.shows(b"hello grid\r\n")
    assert screen.exit_code() == 0
    assert screen.seen == b"grid\r\nhello grid\r\n"


@pytest.mark.parametrize("reads", [True, False], ids=["that reads the keyboard", "that does not"])
def test_ctrl_c_ends_a_program(terminal: type[Terminal], client: Client, reads: bool) -> None:
    script = "echo ready; read x; echo got $x; read y" if reads else "echo ready; exec sleep 30"
    screen = terminal(*COMMAND, "run", "--", "sh", "-c", script)  # type: ignore[arg-type, call-arg]
    screen.shows(b"ready\r\n")
    if reads:
        screen.type(b"a\n")
        screen.shows(b"got a\r\n")
    screen.type(b"\x03")
    assert screen.exit_code() == 130
    assert client.report()["detail"]["signal"] == signal.SIGINT


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs a shell with job control")
@pytest.mark.parametrize("reads", [True, False], ids=["that reads the keyboard", "that does not"])
def test_ctrl_z_suspends_a_program_and_fg_goes_on_with_it(terminal: type[Terminal], reads: bool) -> None:
    screen = terminal("/bin/bash", "--norc", "--noprofile", "-i")  # type: ignore[arg-type, call-arg]
    screen.type(b"PS1='> '\n")
    wait = "read x; echo got $x; read x; echo got $x" if reads else "while [ ! -e $0.on ]; do sleep 0.02; done; echo on"
    path = f"/tmp/gateway-client-test-{os.getpid()}"
    screen.type(f"{' '.join(COMMAND)} run -- sh -c 'echo ready; {wait}' {path}\n".encode())
    screen.shows(b"ready\r\n")
    if reads:
        screen.type(b"a\n")
        screen.shows(b"got a\r\n")
    screen.type(b"\x1a")
    screen.shows(b"Stopped")
    screen.type(b"echo the shell $((1 + 1))\n")
    screen.shows(b"the shell 2\r\n")
    screen.type(b"fg\n")
    try:
        if reads:
            screen.type(b"b\n")
            screen.shows(b"got b\r\n")
        else:
            Path(f"{path}.on").touch()
            screen.shows(b"\non\r\n")
    finally:
        Path(f"{path}.on").unlink(missing_ok=True)
    screen.type(b"exit 7\n")
    assert screen.exit_code() == 7
