"""How many failures of the last five minutes this spool took up, by type: `mission_recent_failures`. Called by `spool.py`.

In: each failure that is counted, inside the transaction that keeps it. Out: sums for a scrape. A row is a second and a type,
so that a flood of failures grows the table no further than a window's seconds times the closed set of types.
"""

import sqlite3

WINDOW = 300
"""Seconds that a failure counts."""
WINDOW_NAME = "5m"
"""The window as the label `window` says it."""


def add(connection: sqlite3.Connection, failure_type: str, happened_at: float, now: float) -> None:
    """Count one failure, unless it happened longer ago than the window; forget what has left it. Times in Unix seconds.

    What seems to come from the future was noted before the clock went back: it is taken as of now.
    """
    row = (int(min(happened_at, now)), failure_type)
    if row[0] <= int(now) - WINDOW:
        return
    # the next of a flood finds its row, and pays one statement instead of four
    change = "UPDATE recent_failure SET count = count + 1 WHERE second = ? AND failure_type = ?"
    if connection.execute(change, row).rowcount == 0:
        prune(connection, now)
        connection.execute("INSERT INTO recent_failure VALUES (?, ?, 1)", row)


def counts(connection: sqlite3.Connection, now: float) -> list[tuple[str, int]]:
    """Return (failure type, failures) for each type that has any in the window.

    A row counts while it is less than a window away from now, on either side: a clock that went back a little takes nothing
    away, and one that went back far leaves nothing standing.
    """
    rows = connection.execute(
        "SELECT failure_type, sum(count) FROM recent_failure WHERE second > ? AND second < ?"
        " GROUP BY failure_type ORDER BY failure_type",
        (int(now) - WINDOW, int(now) + WINDOW),
    )
    return rows.fetchall()


def are_stale(connection: sqlite3.Connection, now: float) -> bool:
    """Whether there is anything for `prune` to do: a look costs no write."""
    first, last = connection.execute("SELECT min(second), max(second) FROM recent_failure").fetchone()
    return first is not None and (first <= int(now) - WINDOW or last >= int(now) + WINDOW)


def prune(connection: sqlite3.Connection, now: float) -> None:
    """Forget what does not count now, so that no later jump of the clock brings it back."""
    connection.execute("DELETE FROM recent_failure WHERE second <= ?", (int(now) - WINDOW,))
    connection.execute("DELETE FROM recent_failure WHERE second >= ?", (int(now) + WINDOW,))
