"""One deadline for a whole send: when it is over, its connections are shut down, however the other side dribbles.

Time-outs of sockets count from byte to byte: a server that sends one byte a second would hold a relay for ever.
"""

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Deadline:
    """`with Deadline(10) as d: d.watch(sock); ...`: after 10 s the sockets fail at once and `d.passed` is True."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def watch(self, connection: socket.socket) -> None:
        """Watch this connection; also after TLS has taken its file descriptor over."""
        with self._lock:
            self._sockets.append(connection.dup())
        if self.passed:
            self._cut()

    def _cut(self) -> None:
        self.passed = True
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()
