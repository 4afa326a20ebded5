"""The tables of the spool's database, and how one is made and brought up to date. Called by `spool.py` alone.

Each file is made once, under a lock: switching to WAL and making tables is the one moment at which two openers could meet
with an error that waiting does not cure.
"""

import sqlite3

VERSION = 1
"""Which programs can use a file. A table that older ones can do without is no new version but one of `_ADDITIONS`: a tenant's
image and the container beside it are rarely of the same day, and may be rolled back."""

_STATEMENTS = """
-- ids are not indexed: each index is one page more to write with each report; they are deleted by n and id
CREATE TABLE report (n INTEGER PRIMARY KEY, id TEXT NOT NULL, level INTEGER NOT NULL,
    kept_at REAL NOT NULL, bytes INTEGER NOT NULL, body TEXT NOT NULL);
-- what is dropped first at the bound: the oldest of the lowest level; errors and worse are found by their order alone
CREATE INDEX report_low ON report (level, n) WHERE level < 2;
CREATE TABLE quarantine (n INTEGER PRIMARY KEY, id TEXT NOT NULL, level INTEGER NOT NULL,
    kept_at REAL NOT NULL, refused_at REAL NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL);
-- one row: counting the reports at each insert would read them all
CREATE TABLE totals (reports INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TRIGGER report_in AFTER INSERT ON report
    BEGIN UPDATE totals SET reports = reports + 1, bytes = bytes + NEW.bytes; END;
CREATE TRIGGER report_out AFTER DELETE ON report
    BEGIN UPDATE totals SET reports = reports - 1, bytes = bytes - OLD.bytes; END;
CREATE TABLE task (label TEXT PRIMARY KEY, successes INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    consecutive_failures INTEGER NOT NULL DEFAULT 0, last_success REAL, last_failure REAL,
    seconds REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE failure (label TEXT NOT NULL, failure_type TEXT NOT NULL, count INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (label, failure_type)) WITHOUT ROWID;
CREATE TABLE duration (label TEXT NOT NULL, bucket INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (label, bucket)) WITHOUT ROWID;
-- a run under way; who holds the lock named `holder` is alive
CREATE TABLE running (run_id TEXT PRIMARY KEY, task TEXT NOT NULL, label TEXT NOT NULL, holder TEXT NOT NULL,
    started_at REAL NOT NULL, federation TEXT NOT NULL) WITHOUT ROWID;
-- counters that belong to no task: (dropped, reason), (reports, result), (folded, label)
CREATE TABLE tally (name TEXT NOT NULL, label TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (name, label)) WITHOUT ROWID;
-- what processes tell each other: when the next try is due, how the last one ended, how far a journal was taken in
CREATE TABLE word (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_ADDITIONS = """
-- failures of the last five minutes, see recent.py; second: Unix time
CREATE TABLE IF NOT EXISTS recent_failure (second INTEGER NOT NULL, failure_type TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (second, failure_type)) WITHOUT ROWID;
"""
_NEWEST = "recent_failure"
"""The last table of the additions: where it is, all are."""


def version(connection: sqlite3.Connection) -> int:
    """Return the file's schema version, 0 for an empty one; sqlite3.DatabaseError for what is no database."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def lacks_tables(connection: sqlite3.Connection) -> bool:
    """Whether `make` has something to do: whoever began the file was killed at it, or an older program made it."""
    if version(connection) not in (0, VERSION):
        return False
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_NEWEST,)).fetchone() is None


def make(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file, and those that are missing in one of this version."""
    if version(connection) != 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_ADDITIONS} COMMIT")
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(f"BEGIN IMMEDIATE; {_STATEMENTS} {_ADDITIONS} PRAGMA user_version = {VERSION}; COMMIT")
