"""Where a run's end is kept while the spool takes nothing (disk full, read-only folder): one JSON line in another folder.

In: what `Spool.finish` or `Spool.keep` would have taken. Out: a line in the first folder that can be written, taken into the
spool exactly once when that works again. Called by `runs.py` and `reporting.py` in trouble, by `upkeep.py` afterwards.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from exporters.gateway_client.spool import Event, Spool, Started

LONGEST = 4 * 1024 * 1024
"""Bytes of a journal from which on only counts are written, without the reports; at twice this it takes nothing."""


class _Entry(NamedTuple):
    """One line: what `Spool.add` takes."""

    run: Started | None
    seconds: float
    event: Event | None
    happened_at: float | None


def write(spool: Spool, run: Started | None, seconds: float, event: Event | None) -> Path:
    """Write one line; return where. Raises OSError when no folder takes it."""
    trouble = OSError("no folder for a journal")
    for path in spool.journals():
        try:
            _append(path, run, seconds, event)
        except OSError as error:
            trouble = error
        else:
            return path
    raise trouble


def _append(path: Path, run: Started | None, seconds: float, event: Event | None) -> None:
    with _locked(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
        size = os.fstat(file).st_size
        if size > 2 * LONGEST:
            raise OSError(f"{path} is full")
        if event is not None and size > LONGEST:
            event = event._replace(body="")
        lines = [] if size else [os.urandom(8).hex().encode()]
        lines += [json.dumps([run, seconds, event]).encode(), b""]
        written = b"\n".join(lines)
        if os.write(file, written) != len(written):
            os.ftruncate(file, size)
            raise OSError(f"{path} takes no whole line")


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    """Open and lock the file that has this name now; never through another user's link: such folders are everybody's."""
    while True:
        file = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_nlink:  # else it was taken in while we waited
                yield file
                return
        finally:
            os.close(file)


def take_in(spool: Spool) -> int:
    """Take every journal of this spool into it; return how many lines. Raises SpoolError, OSError."""
    count = 0
    for path in spool.journals():
        if path.exists() and path.stat().st_uid == os.geteuid():
            with suppress(FileNotFoundError), _locked(path, os.O_RDONLY) as file:
                count += _take_in(spool, path, file)
                path.unlink()
    return count


def _take_in(spool: Spool, path: Path, file: int) -> int:
    name, *lines = os.pread(file, 4 * LONGEST, 0).splitlines() or [b""]
    # who is killed between the commit and the unlink must not count twice: how far it came stands in the spool
    mark, journal = f"journal in {path.parent}", name.decode("ascii", "replace")

    def work(connection: sqlite3.Connection) -> int:
        row = connection.execute("SELECT value FROM word WHERE name = ?", (mark,)).fetchone()
        taken_journal, _, taken = (row[0] if row else "").partition(" ")
        entries = list(_entries(lines[int(taken) if taken_journal == journal else 0 :]))
        for entry in entries:
            spool.add(connection, *entry)
        connection.execute("INSERT OR REPLACE INTO word VALUES (?, ?)", (mark, f"{journal} {len(lines)}"))
        return len(entries)

    return spool.database.write(work, durable=True)


def _entries(lines: list[bytes]) -> Iterator[_Entry]:
    happened_at = None
    for line in lines:
        with suppress(ValueError, TypeError):  # a line that a killed process did not finish
            words, seconds, parts = json.loads(line)
            run, event = Started(*words) if words else None, Event(*parts) if parts else None
            # a full journal keeps reports without their bodies: they came after the line before them
            happened_at = _happened_at(run, float(seconds), event) or happened_at
            yield _Entry(run, float(seconds), event, happened_at)


def _happened_at(run: Started | None, seconds: float, event: Event | None) -> float | None:
    """Return the Unix time of a line that was written long before it is read, None when it does not say."""
    if run is not None:
        return run.started_at + seconds
    with suppress(ValueError, TypeError, KeyError):
        return datetime.fromisoformat(json.loads(event.body if event else "")["occurred_at"]).timestamp()
    return None
