"""The spool's file: connections, transactions, and what to do when the file is broken. Called by `spool.py` alone.

Two connections of one process: what must survive a power cut is committed with `synchronous=FULL` (one disk sync), what may
lose its last seconds with `NORMAL` (none). A broken file is left where it is, under its name, and a new one is begun: the
file `current` names the one in use. Nothing is renamed, so nobody's journal can ever meet another file.
"""

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from exporters.gateway_client import schema
from exporters.gateway_client.locks import FileLock

T = TypeVar("T")

BUSY = 10.0
"""Seconds to wait for another writer: eight at once waited 0.43 s at most."""
_SHARED = Path("/var/tmp")  # noqa: S108  (below it only a folder of our own, checked)
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# the write-ahead log is folded into the file by whoever syncs anyway: the sender or a failed run. Only when neither came
# by for 1,000 runs (16 MB) does a successful run do it
_PAGES_BEFORE_CHECKPOINT = {True: 500, False: 4000}


class SpoolError(Exception):
    """The spool can't be read or written; the text says which file and why."""


def spool_folder() -> Path:
    """Return the spool's folder: GATEWAY_SPOOL, else one of this user's own under /var/tmp."""
    return Path(os.environ.get("GATEWAY_SPOOL", "").strip() or _SHARED / f"mission-monitor-{os.geteuid()}")


class Database:
    """The file in use. Threads may share it; a forked child must call `forget` first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.set_aside: Callable[[sqlite3.Connection, Path], None] | None = None
        """Called with the new file's connection and the broken file's path, inside the transaction that begins it."""
        self._lock = threading.RLock()
        self._turn = FileLock(folder / "writing.lock")
        self._connections: dict[bool, sqlite3.Connection] = {}
        self._path, self._pointer = folder / "spool.sqlite3", folder / "current"
        self._seen: tuple[object, ...] = ()

    def write(self, work: Callable[[sqlite3.Connection], T], durable: bool) -> T:
        """Run the work in one transaction and commit it, synced to disk when `durable`. Raises SpoolError."""
        return self._run(work, durable, "BEGIN IMMEDIATE")

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work on one consistent view. Raises SpoolError."""
        return self._run(work, False, "BEGIN")

    def fold_log(self) -> None:
        """Fold the write-ahead log into the file, as far as nobody reads it, with the disk syncs that this takes."""
        with self._lock:
            try:
                self._connection(True).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except (sqlite3.Error, OSError) as error:
                raise SpoolError(self._said(error)) from error

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        with suppress(OSError):
            return Path(f"{self._path}-wal").stat().st_size
        return 0

    def close(self) -> None:
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            self._seen = ()

    def hold(self) -> None:
        """Wait until no thread is in a transaction, and let none begin one until `let_go`."""
        self._lock.acquire()

    def let_go(self) -> None:
        self._lock.release()

    def forget(self) -> None:
        """Leave the connections to the parent process: in a forked child SQLite's must not even be closed."""
        import ctypes

        for connection in self._connections.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._connections, self._seen, self._lock = {}, (), threading.RLock()

    def _run(self, work: Callable[[sqlite3.Connection], T], durable: bool, begin: str) -> T:
        with self._lock:
            try:
                return self._transaction(work, durable, begin)
            except (sqlite3.Error, OSError) as error:
                if _primary_code(error) not in _BROKEN:
                    raise SpoolError(self._said(error)) from error
            try:
                self._begin_anew()
                return self._transaction(work, durable, begin)
            except (sqlite3.Error, OSError) as error:
                raise SpoolError(self._said(error)) from error

    def _transaction(self, work: Callable[[sqlite3.Connection], T], durable: bool, begin: str) -> T:
        connection = self._connection(durable)
        if begin == "BEGIN":
            return _transact(connection, work, begin)
        self._take_turn()
        try:
            return _transact(connection, work, begin)
        finally:
            self._turn.release()

    def _take_turn(self) -> None:
        """Wait for our turn to write: SQLite's own waiting sleeps longer and longer, and so lets the newest go first.

        With eight writers the longest wait was 3.7 s without this, see benchmarks/client_spool.py. Who hangs with the turn in
        hand stops nobody for longer than BUSY: then SQLite's lock alone decides.
        """
        ends = time.monotonic() + BUSY
        while not self._turn.take() and time.monotonic() < ends:
            time.sleep(0.001)

    def _connection(self, durable: bool) -> sqlite3.Connection:
        if not self._seen or self._seen != self._look():
            self._open_current()
        if durable not in self._connections:
            self._connections[durable] = _connect(self._path, durable)
        return self._connections[durable]

    def _look(self) -> tuple[object, ...]:
        """What tells that the file in use was replaced or deleted under us."""
        return _inode(self._pointer), _inode(self._path)

    def _current(self) -> Path:
        with suppress(FileNotFoundError):
            return self.folder / Path(self._pointer.read_text(encoding="utf-8").strip()).name
        return self.folder / "spool.sqlite3"

    def _open_current(self) -> None:
        self.close()
        _make_folder(self.folder)
        self._path = self._current()
        if not self._path.exists():
            self._make_current()
        connection = _connect(self._path, False)
        if schema.lacks_tables(connection):
            self._make_current()
        found = schema.version(connection)
        if found != schema.VERSION:
            connection.close()
            raise sqlite3.OperationalError(f"schema version {found}, this program knows {schema.VERSION}")
        self._connections[False] = connection
        self._seen = self._look()

    def _make_current(self) -> None:
        with FileLock(self.folder / "making.lock"):
            _make(self._path, self.folder)

    def _begin_anew(self) -> None:
        """Begin the next file, unless another process has done so; tell `set_aside`."""
        broken = self._path
        self.close()
        with FileLock(self.folder / "making.lock"):
            if self._current() != broken:
                return
            name = f"spool-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.sqlite3"
            path = self.folder / name
            _make(path, self.folder)
            connection = _connect(path, True)
            try:
                connection.execute("BEGIN IMMEDIATE")
                if self.set_aside is not None:
                    self.set_aside(connection, broken)
                connection.execute("COMMIT")
            finally:
                connection.close()
            with (self.folder / "current.new").open("w", encoding="utf-8") as file:
                file.write(name)
                file.flush()
                os.fsync(file.fileno())
            (self.folder / "current.new").replace(self._pointer)
        sys.stderr.write(f"gateway-client: the spool {broken} is broken: kept aside, {name} begun\n")

    def _said(self, error: Exception) -> str:
        return f"{self._path}: {error}"


def _transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], begin: str) -> T:
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return result


def _primary_code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.parent == _SHARED and folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user: set GATEWAY_SPOOL")


def _make(path: Path, folder: Path) -> None:
    """Make the tables, unless they are there; who may use the folder may use the file."""
    mode = folder.stat().st_mode & 0o666
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    with suppress(PermissionError):
        os.fchmod(file, mode)
    os.close(file)
    connection = _connect(path, True)
    try:
        if schema.lacks_tables(connection):
            schema.make(connection)
    finally:
        connection.close()


def _connect(path: Path, durable: bool) -> sqlite3.Connection:
    name = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(
        f"file:{name}?mode=rw", uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_BEFORE_CHECKPOINT[durable]}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
