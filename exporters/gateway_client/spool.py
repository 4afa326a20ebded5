"""What this container knows and has not yet handed over: unsent reports and all counters. Called by runs, API and sender.

Several writers (every `run`, every Python process) and one sender share one SQLite file. A report is kept together with its
counts in one durable transaction: what `keep` or `finish` has returned from is there after a power cut. Counts alone cost
no disk sync; a power cut may take their last seconds.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from exporters.gateway_client import recent
from exporters.gateway_client.database import Database, SpoolError, spool_folder
from exporters.gateway_client.locks import FileLock
from exporters.gateway_client.tasks import MOST_LABELS, Tasks
from runtime.closed_sets import FAILURE_TYPES, LEVELS, OTHER

__all__ = ["Event", "Kept", "Spool", "SpoolError", "Started"]

BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Upper bounds of `mission_run_duration_seconds`, in seconds: from a script's moment to a day's co-simulation."""
DROP_REASONS = ("rows", "bytes", "quarantine", "corrupt", "unwritable")
QUARANTINE_ROWS = 1000


class Event(NamedTuple):
    """One report, ready to be sent."""

    id: str
    task: str
    failure_type: str
    level: str
    body: str

    @property
    def counts(self) -> bool:
        """Whether it is a failure: `info` and `warning` are told, not counted."""
        return self.level in ("error", "critical")


class Started(NamedTuple):
    """One run under way."""

    run_id: str
    task: str
    started_at: float
    federation: str = ""


class Kept(NamedTuple):
    """One report as the sender takes it out."""

    n: int
    id: str
    body: str


class Spool:
    """The spool of one folder."""

    def __init__(
        self, folder: Path | None = None, tasks: Tasks | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder or spool_folder()
        self.tasks = tasks or Tasks()
        self.clock = clock
        """Unix time in seconds."""
        self.most_rows = _bound("GATEWAY_SPOOL_ROWS", 10_000)
        self.most_bytes = _bound("GATEWAY_SPOOL_BYTES", 64 * 1024 * 1024)
        self.database = Database(self.folder)
        self.database.set_aside = _take_over
        self._alive: FileLock | None = None

    # --- runs -------------------------------------------------------------------------------------------------------

    def start(self, run: Started) -> None:
        """Note that a run is under way; from a task's first one on, each of its counters exists at 0."""
        holder = self._holder()

        def work(connection: sqlite3.Connection) -> None:
            label = self._label(connection, run.task)
            connection.execute(
                "INSERT INTO running VALUES (?, ?, ?, ?, ?, ?)",
                (run.run_id, run.task, label, holder, run.started_at, run.federation),
            )

        self.database.write(work, durable=False)

    def finish(self, run: Started, seconds: float, event: Event | None, only_if_running: bool = False) -> bool:
        """Count one ended run, a failure when there is an event, which is kept with it.

        With `only_if_running` nothing is done, and False returned, when another process has ended the run's row already.
        """

        def work(connection: sqlite3.Connection) -> bool:
            if (
                only_if_running
                and not connection.execute("SELECT 1 FROM running WHERE run_id = ?", (run.run_id,)).fetchone()
            ):
                return False
            self.add(connection, run, seconds, event)
            return True

        return self.database.write(work, durable=event is not None)

    def keep(self, event: Event) -> None:
        """Keep one report that is no run's end, and count it when it is a failure."""

        self.database.write(lambda connection: self.add(connection, None, 0.0, event), durable=True)

    def add(
        self,
        connection: sqlite3.Connection,
        run: Started | None,
        seconds: float,
        event: Event | None,
        happened_at: float | None = None,
    ) -> None:
        """Add a run's end, a report, or both, inside a transaction. What is no news says when it happened (Unix time)."""
        label = ""
        if run is not None:
            row = connection.execute("SELECT label FROM running WHERE run_id = ?", (run.run_id,)).fetchone()
            connection.execute("DELETE FROM running WHERE run_id = ?", (run.run_id,))
            label = row[0] if row else self._label(connection, run.task)
            _count_run(connection, label, seconds, run.started_at + seconds, event is None)
        if event is not None:
            self._insert(connection, event, label or self._label(connection, event.task or OTHER), happened_at)

    def lost_runs(self) -> list[Started]:
        """Return the runs whose process has died without a word (kill -9, or the container's end)."""
        held: dict[str, bool] = {}
        rows = self.database.read(
            lambda c: c.execute("SELECT run_id, task, started_at, federation, holder FROM running").fetchall()
        )
        for *_, holder in rows:
            if holder not in held:
                held[holder] = self._is_held(holder)
        return [Started(*run) for *run, holder in rows if not held[holder]]

    def others_need_us(self) -> bool:
        """Whether there may be something for `upkeep.keep_up` to do. Cheap: asked at the end of each run."""
        return any(path.exists() for path in self.journals()) or bool(self.lost_runs())

    def journals(self) -> list[Path]:
        """Return where this spool's journal may be: memory first, since the disk may be what is full."""
        place = str(self.folder.absolute()).strip("/").replace("/", "%")[-180:]
        name = f"gateway-client-{os.geteuid()}-{place}.jsonl"
        folders = ("/dev/shm", os.environ.get("TMPDIR") or "/tmp", self.folder)  # noqa: S108
        return [Path(folder) / name for folder in folders]

    def _holder(self) -> str:
        """Return the name of this process' lock, which the kernel gives back when it dies."""
        if self._alive is None:
            (self.folder / "alive").mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{os.getpid()}-{os.urandom(6).hex()}"
            lock = FileLock(self.folder / "alive" / name)
            lock.take()
            self._alive = lock
        return self._alive.path.name

    def _is_held(self, holder: str) -> bool:
        path = self.folder / "alive" / holder
        if not path.exists():
            return False
        lock = FileLock(path)
        if not lock.take():
            return True
        path.unlink()
        lock.release()
        return False

    def leave(self) -> None:
        """Say that this process is done; what it holds is given back."""
        if self._alive is not None:
            self._alive.path.unlink()
            self._alive.release()
            self._alive = None

    def forget(self) -> None:
        """In a forked child: leave everything to the parent."""
        self.database.forget()
        if self._alive is not None:
            self._alive.release()  # our copy of it: the parent's goes on
            self._alive = None

    # --- counting and bounds, inside a transaction -------------------------------------------------------------------

    def _label(self, connection: sqlite3.Connection, task: str) -> str:
        """Return the task's label, making its rows when it is new; a name that may be none is folded and counted."""
        label = task
        known = connection.execute("SELECT 1 FROM task WHERE label = ?", (task,)).fetchone()
        if task != OTHER and not self._may_be_label(connection, task, known is not None):
            add_to_tally(connection, "folded", "task")
            label = OTHER
            known = connection.execute("SELECT 1 FROM task WHERE label = ?", (OTHER,)).fetchone()
        if not known:
            connection.execute("INSERT INTO task (label) VALUES (?)", (label,))
            zeros = [(label, failure_type) for failure_type in FAILURE_TYPES]
            connection.executemany("INSERT OR IGNORE INTO failure (label, failure_type) VALUES (?, ?)", zeros)
        return label

    def _may_be_label(self, connection: sqlite3.Connection, task: str, known: bool) -> bool:
        if not self.tasks.may_be_label(task):
            return False
        if known or task in self.tasks.names:
            return True
        count: int = connection.execute("SELECT count(*) FROM task").fetchone()[0]
        return count < MOST_LABELS

    def _insert(self, connection: sqlite3.Connection, event: Event, label: str, happened_at: float | None) -> None:
        now = self.clock()
        if event.counts:
            recent.add(connection, event.failure_type, now if happened_at is None else happened_at, now)
            connection.execute(
                "INSERT INTO failure VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
                (label, event.failure_type),
            )
        if not event.body:  # a journal that was full kept the count alone
            add_to_tally(connection, "dropped", "unwritable")
            return
        connection.execute(
            "INSERT INTO report (id, level, kept_at, bytes, body) VALUES (?, ?, ?, ?, ?)",
            (event.id, LEVELS.index(event.level), now, len(event.body.encode()), event.body),
        )
        self._enforce_bounds(connection)

    def _enforce_bounds(self, connection: sqlite3.Connection) -> None:
        while True:
            reports, size = connection.execute("SELECT reports, bytes FROM totals").fetchone()
            if reports <= self.most_rows and size <= self.most_bytes:
                return
            connection.execute(
                "DELETE FROM report WHERE n = coalesce("
                "(SELECT n FROM report WHERE level < 2 ORDER BY level, n LIMIT 1),"
                " (SELECT n FROM report WHERE level = 2 ORDER BY n LIMIT 1), (SELECT min(n) FROM report))"
            )
            add_to_tally(connection, "dropped", "rows" if reports > self.most_rows else "bytes")

    # --- the sender's side -------------------------------------------------------------------------------------------

    def batch(self, most: int, most_bytes: int) -> list[Kept]:
        """Return the oldest reports, at least one if there is any, not more than these bounds."""

        def work(connection: sqlite3.Connection) -> list[Kept]:
            taken: list[Kept] = []
            size = 0
            for n, identifier, body, length in connection.execute(
                "SELECT n, id, body, bytes FROM report ORDER BY n LIMIT ?", (most,)
            ):
                size += length
                if taken and size > most_bytes:
                    break
                taken.append(Kept(n, identifier, body))
            return taken

        return self.database.read(work)

    def settle(self, delivered: Sequence[Kept], refused: Iterable[tuple[Kept, str]], results: dict[str, int]) -> None:
        """Delete what the gateway has, set aside what it refused with its reason, and count by result."""

        refused = list(refused)

        def work(connection: sqlite3.Connection) -> None:
            for report, reason in refused:
                connection.execute(
                    "INSERT INTO quarantine (id, level, kept_at, refused_at, reason, body)"
                    " SELECT id, level, kept_at, ?, ?, body FROM report WHERE n = ? AND id = ?",
                    (time.time(), reason[:2000], report.n, report.id),
                )
            gone = [(report.n, report.id) for report in (*delivered, *(report for report, _ in refused))]
            connection.executemany("DELETE FROM report WHERE n = ? AND id = ?", gone)
            surplus = connection.execute(
                "DELETE FROM quarantine WHERE n <= (SELECT max(n) FROM quarantine) - ?", (QUARANTINE_ROWS,)
            ).rowcount
            add_to_tally(connection, "dropped", "quarantine", surplus)
            for result, count in results.items():
                add_to_tally(connection, "reports", result, count)

        self.database.write(work, durable=False)

    def release_quarantine(self) -> int:
        """Put what was refused back among what is to be sent; return how many."""

        def work(connection: sqlite3.Connection) -> int:
            count = connection.execute(
                "INSERT INTO report (id, level, kept_at, bytes, body)"
                " SELECT id, level, kept_at, length(CAST(body AS BLOB)), body FROM quarantine ORDER BY n"
            ).rowcount
            connection.execute("DELETE FROM quarantine")
            self._enforce_bounds(connection)
            return count

        return self.database.write(work, durable=True)

    def tell(self, **values: str) -> None:
        """Leave word for the other senders of this spool."""
        rows = list(values.items())
        self.database.write(lambda c: c.executemany("INSERT OR REPLACE INTO word VALUES (?, ?)", rows), False)

    def told(self) -> dict[str, str]:
        return dict(self.database.read(lambda c: c.execute("SELECT name, value FROM word").fetchall()))

    def ask_to_send(self) -> None:
        """Ask the sender at work, if there is one, to try now instead of when its next try is due."""
        self.tell(asked_at=str(time.time()))

    def waiting(self) -> int:
        """Return how many reports wait."""
        count: int = self.database.read(lambda c: c.execute("SELECT reports FROM totals").fetchone()[0])
        return count

    def forget_old_failures(self) -> None:
        """Let go of what no longer counts as recent; writes only where there is something."""
        if self.database.read(lambda c: recent.are_stale(c, self.clock())):
            self.database.write(lambda c: recent.prune(c, self.clock()), durable=False)

    def tally(self, name: str, label: str, count: int = 1) -> None:
        """Count something that belongs to no task."""
        self.database.write(lambda c: add_to_tally(c, name, label, count), durable=False)


def add_to_tally(connection: sqlite3.Connection, name: str, label: str, count: int = 1) -> None:
    if count:
        connection.execute(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            (name, label, count),
        )


def _count_run(connection: sqlite3.Connection, label: str, seconds: float, ended_at: float, success: bool) -> None:
    if success:
        change = "UPDATE task SET successes = successes + 1, consecutive_failures = 0, last_success = ?"
    else:
        change = (
            "UPDATE task SET failures = failures + 1, consecutive_failures = consecutive_failures + 1, last_failure = ?"
        )
    connection.execute(f"{change}, seconds = seconds + ? WHERE label = ?", (ended_at, seconds, label))
    bucket = sum(seconds > bound for bound in BUCKETS)
    connection.execute(
        "INSERT INTO duration VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", (label, bucket)
    )


def _take_over(connection: sqlite3.Connection, broken: Path) -> None:
    """Count a broken file, and save the reports and the recent failures that can still be read from it."""
    add_to_tally(connection, "dropped", "corrupt")
    for read, write in (
        (
            "SELECT id, level, kept_at, bytes, body FROM report ORDER BY n",
            "INSERT INTO report (id, level, kept_at, bytes, body) VALUES (?, ?, ?, ?, ?)",
        ),
        ("SELECT second, failure_type, count FROM recent_failure", "INSERT INTO recent_failure VALUES (?, ?, ?)"),
    ):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"{broken.as_uri()}?mode=ro", uri=True)) as old:
            for row in old.execute(read):
                connection.execute(write, row)


def _bound(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else default
