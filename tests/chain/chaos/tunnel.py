"""A TCP proxy that can be cut: its connections are dropped at once and no new one gets through until it is healed."""

import socket
import threading
from contextlib import suppress

from tests.mariadb import free_port


class Tunnel:
    """Passes bytes from its own port to another on this machine."""

    def __init__(self, to: int) -> None:
        self.to, self.port = to, free_port()
        self._pass = threading.Event()
        self._pass.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._pass.clear()
        with self._lock:
            for one in self._open:
                _drop(one)

    def heal(self) -> None:
        self._pass.set()

    def close(self) -> None:
        _drop(self._listener)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            server = self._connect()
            if server is None:
                return
            with server:
                with self._lock:
                    self._open |= {client, server}
                if not self._pass.is_set():  # cut meanwhile
                    self.cut()
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()
                with self._lock:
                    self._open -= {client, server}

    def _connect(self) -> socket.socket | None:
        if not self._pass.is_set():
            return None
        with suppress(OSError):  # nobody is there
            server = socket.create_connection(("127.0.0.1", self.to), 5)
            server.settimeout(None)
            return server
        return None


def _drop(one: socket.socket) -> None:
    with suppress(OSError):  # gone already
        one.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # one of the two ends has gone
        while data := source.recv(65536):
            sink.sendall(data)
    _drop(sink)
    _drop(source)
