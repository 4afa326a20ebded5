"""Locks that the kernel gives back when their holder dies, kill -9 included. Called by `database.py`, `spool.py`, `sender.py`.

`flock` on a file of the spool's folder: it works between containers that share the volume, where process numbers mean
nothing. A lock belongs to the open file, so an exec'd child never holds it (close-on-exec).
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType


class FileLock:
    """One exclusive lock: `take` without waiting, or `with lock:` with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def take(self, wait: bool = False) -> bool:
        """Take the lock; return False when another one holds it. Raises OSError when the file can't be opened."""
        file = os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back; the file stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "FileLock":
        self.take(wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
