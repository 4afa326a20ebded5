"""The SQL of intake, for MySQL/MariaDB and for SQLite: a set of rows of any size is one statement.

Used by `ledgers.py`, `intake.py` and `replay.py`. The ORM's `bulk_create` costs two thirds of a webhook's time (measured), and
"insert or lock" can't be said with it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections

from userdb.clock import utc_now
from userdb.models import Acknowledgement, Alert, AlertIdentity, AlertTransition, Notification, WebhookEvent
from userdb.router import alias
from userdb.rowsets import ASCII, INTEGER, KEY, TEXT, TIME, packs, plain, rowset

_IDENTITY, _ALERT = AlertIdentity._meta.db_table, Alert._meta.db_table
_ACKNOWLEDGEMENT = Acknowledgement._meta.db_table
_TRANSITION, _NOTIFICATION = AlertTransition._meta.db_table, Notification._meta.db_table


class Statement:
    """One statement per database, over one rowset `j`."""

    def __init__(self, columns: Mapping[str, str], mysql: str, sqlite: str | None = None) -> None:
        self._sql = {
            vendor: sql.replace("ROWS", rowset(vendor, columns)).replace("NOW()", utc_now(vendor))
            for vendor, sql in {"mysql": mysql, "sqlite": mysql if sqlite is None else sqlite}.items()
        }

    def run(self, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """Execute for all rows and return what it selects; nothing is executed without rows."""
        connection = connections[alias()]
        sql = self._sql[connection.vendor]
        found: list[tuple[Any, ...]] = []
        with connection.cursor() as cursor:
            for parameter in packs(rows):
                cursor.execute(sql, [parameter])
                if cursor.description:
                    found.extend(cursor.fetchall())
        return found


class Insert:
    """Rows into one table: on MySQL/MariaDB as a list of values, on SQLite as one rowset.

    Both are as fast to make. A list takes the server two thirds of a JSON_TABLE's time, and, because it is known how many
    rows there are, the table's lock for their numbers no longer than to take them.
    """

    def __init__(self, table: str, columns: Mapping[str, str], mysql: str = "", sqlite: str = "") -> None:
        names = ", ".join(f"`{name}`" for name in columns)
        self._head = f"INSERT INTO {table} ({names}) VALUES "
        self._row = f"({', '.join(['%s'] * len(columns))})"
        self._end = mysql.replace("NOW()", utc_now("mysql"))
        whole = f"INSERT INTO {table} ({names}) SELECT {names} FROM ROWS WHERE TRUE {sqlite}"
        self._rowset = Statement(columns, whole)

    def run(self, rows: Iterable[Sequence[Any]]) -> int | None:
        """Execute for all rows; return how many of them were there already, None where the database does not say."""
        connection = connections[alias()]
        if connection.vendor != "mysql":
            self._rowset.run(rows)
            return None
        known: int | None = 0
        with connection.cursor() as cursor:
            for count, values in _lists(rows):
                cursor.execute(self._head + ", ".join([self._row] * count) + self._end, values)
                match = _DUPLICATES.search(connection.connection.info() or "")
                known = None if match is None or known is None else known + int(match[1])
        return known


_DUPLICATES = re.compile(r"Duplicates: (\d+)")
_MOST = 8_000_000  # characters of values in one statement: at most 32 MB of UTF-8


def _lists(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
    """Yield (rows, their values one after the other): one list, or a few where it would not pass max_allowed_packet."""
    values: list[Any] = []
    count = size = 0
    for row in rows:
        made = [plain(value) for value in row]
        length = sum(len(value) for value in made if isinstance(value, str))
        if count and size + length > _MOST:
            yield count, values
            values, count, size = [], 0, 0
        values += made
        count += 1
        size += length
    if count:
        yield count, values


def insert_webhook(row: Mapping[str, Any]) -> int:
    """Store one raw webhook; return its number."""
    names = ", ".join(row)
    sql = f"INSERT INTO {WebhookEvent._meta.db_table} ({names}) VALUES ({', '.join(['%s'] * len(row))})"
    with connections[alias()].cursor() as cursor:
        cursor.execute(sql, [plain(value) for value in row.values()])
        return int(cursor.lastrowid)


# inserts or locks, in key order; on SQLite the transaction itself is the lock
LOCK = Insert(
    _IDENTITY,
    {"fingerprint": ASCII, "alertname": TEXT, "tenant": KEY, "severity": TEXT, "labels": TEXT},
    f" ON DUPLICATE KEY UPDATE fingerprint = {_IDENTITY}.fingerprint",
    "ON CONFLICT (fingerprint) DO NOTHING",
)

# one row a word: its identity, the identity's last episode, and the episode that a late end would mean
STATE = Statement(
    {"fingerprint": ASCII, "start": TIME},
    f"""SELECT i.fingerprint, i.state, i.episodes, i.last_start, i.previous_start, i.last_end, i.version,
               a.id, a.state, a.starts_at, a.highest_start, a.ends_at, a.closed_by, a.annotations, a.generator_url,
               j.start, e.number, e.state, e.starts_at, e.highest_start, e.ends_at, e.closed_by, e.annotations,
               e.generator_url, NOW(), a.id IS NOT NULL AND a.first_webhook_id IS NULL
        FROM ROWS JOIN {_IDENTITY} i ON i.fingerprint = j.fingerprint
        LEFT JOIN {_ALERT} a ON a.identity_id = i.fingerprint AND a.number = i.episodes
        LEFT JOIN {_ALERT} e ON e.identity_id = i.fingerprint AND e.highest_start = (
            SELECT MIN(f.highest_start) FROM {_ALERT} f
            WHERE f.identity_id = i.fingerprint AND f.highest_start >= j.start)""",
)

HOLDINGS = Statement(
    {"alert": INTEGER},
    f"""SELECT n.alert_id, n.channel_id, SUM(n.kind = 'firing'), SUM(n.kind = 'refired'), SUM(n.kind = 'repeat'),
               SUM(n.kind = 'resolved'),
               COALESCE(MAX(CASE WHEN n.kind IN ('firing', 'refired') AND n.state NOT IN ('void', 'unconfirmed')
                                 THEN n.id END), 0)
               > COALESCE(MAX(CASE WHEN n.kind = 'resolved' AND n.state <> 'void' THEN n.id END), 0),
               SUM(n.kind <> 'resolved' AND n.state IN ('owed', 'sending')), SUM(n.state = 'unconfirmed'),
               MAX(CASE WHEN n.kind <> 'resolved' THEN n.created_at END),
               EXISTS (SELECT 1 FROM {_ACKNOWLEDGEMENT} k WHERE k.alert_id = n.alert_id)
        FROM ROWS JOIN {_NOTIFICATION} n ON n.alert_id = j.alert GROUP BY n.alert_id, n.channel_id""",
)

# what is known of an alert since: the newest webhook that changed it, and when anything else last did (a webhook that
# retention has deleted, reconciliation, the relay's question)
HEARD = Statement(
    {"fingerprint": ASCII},
    f"""SELECT t.identity_id, MAX(t.webhook_id), MAX(CASE WHEN t.webhook_id IS NULL AND t.source <> 'replay' THEN t.at END)
        FROM ROWS JOIN {_TRANSITION} t ON t.identity_id = j.fingerprint GROUP BY t.identity_id""",
)

_EPISODE = {
    "identity_id": ASCII,
    "number": INTEGER,
    "state": KEY,
    "starts_at": TIME,
    "highest_start": TIME,
    "ends_at": TIME,
    "closed_by": KEY,
    "annotations": TEXT,
    "generator_url": TEXT,
    "first_webhook_id": INTEGER,
}
_CHANGING = ("state", "starts_at", "ends_at", "closed_by", "annotations", "generator_url")
# what reconciliation found has no webhook until one brings it
_FIRST = f"first_webhook_id = COALESCE({_ALERT}.first_webhook_id, "
EPISODES = Insert(
    _ALERT,
    _EPISODE,
    " ON DUPLICATE KEY UPDATE updated_at = NOW(), "
    + ", ".join([*(f"{name} = VALUES({name})" for name in _CHANGING), f"{_FIRST}VALUES(first_webhook_id))"]),
    "ON CONFLICT (identity_id, number) DO UPDATE SET updated_at = NOW(), "
    + ", ".join([*(f"{name} = excluded.{name}" for name in _CHANGING), f"{_FIRST}excluded.first_webhook_id)"]),
)

# the numbers of rows just written, or of earlier episodes
NUMBERS = Statement(
    {"identity_id": ASCII, "number": INTEGER},
    f"""SELECT j.identity_id, j.number, a.id
        FROM ROWS JOIN {_ALERT} a ON a.identity_id = j.identity_id AND a.number = j.number""",
)

TRANSITIONS = Insert(
    _TRANSITION,
    {
        "identity_id": ASCII,
        "alert_id": INTEGER,
        "version": INTEGER,
        "kind": KEY,
        "source": KEY,
        "webhook_id": INTEGER,
        "starts_at": TIME,
        "ends_at": TIME,
    },
)

NOTIFICATIONS = Insert(
    _NOTIFICATION,
    {
        "key": KEY,
        "channel_id": INTEGER,
        "identity_id": ASCII,
        "alert_id": INTEGER,
        "kind": KEY,
        "ordinal": INTEGER,
        "state": KEY,
        "reason": KEY,
        "cause_at": TIME,
        "due_at": TIME,
        "first_due_at": TIME,
    },
)

# What is being sent stays: its relay finds out by itself before and after the send. All that waits belongs to episodes
# before the one that this webhook opens, whose own notifications are written after it. The order of the join is forced: the
# optimizer's own plan for small tables locked other alerts' rows on its way (11 deadlocks in 20 s with 3 senders, now none);
# SQLite's own read the whole parameter anew for each row that waits (14 s for 2,500 alerts beside 10,000, now 0.05)
VOID = Statement(
    {"identity_id": ASCII},
    f"""UPDATE ROWS STRAIGHT_JOIN {_NOTIFICATION} n FORCE INDEX (notification_order) ON n.identity_id = j.identity_id
        SET n.state = 'void', n.reason = 'superseded' WHERE n.state IN ('unconfirmed', 'owed')""",
    f"""UPDATE {_NOTIFICATION} SET state = 'void', reason = 'superseded' WHERE id IN (
            SELECT n.id FROM ROWS CROSS JOIN {_NOTIFICATION} n ON n.identity_id = j.identity_id
            WHERE n.state IN ('unconfirmed', 'owed'))""",
)

# an unconfirmed episode is over: nobody was told that it returned
DROP = Statement(
    {"identity_id": ASCII},
    f"""UPDATE ROWS STRAIGHT_JOIN {_NOTIFICATION} n FORCE INDEX (notification_order) ON n.identity_id = j.identity_id
        SET n.state = 'void', n.reason = 'unconfirmed' WHERE n.state = 'unconfirmed'""",
    f"""UPDATE {_NOTIFICATION} SET state = 'void', reason = 'unconfirmed' WHERE id IN (
            SELECT n.id FROM ROWS CROSS JOIN {_NOTIFICATION} n ON n.identity_id = j.identity_id
            WHERE n.state = 'unconfirmed')""",
)

# the Alertmanagers' word has come, or will not: it may be told
CONFIRM = Statement(
    {"identity_id": ASCII},
    f"""UPDATE ROWS STRAIGHT_JOIN {_NOTIFICATION} n FORCE INDEX (notification_order) ON n.identity_id = j.identity_id
        SET n.state = 'owed' WHERE n.state = 'unconfirmed'""",
    f"""UPDATE {_NOTIFICATION} SET state = 'owed' WHERE id IN (
            SELECT n.id FROM ROWS CROSS JOIN {_NOTIFICATION} n ON n.identity_id = j.identity_id
            WHERE n.state = 'unconfirmed')""",
)

# in the order of fingerprints, which is that of every lock
MARK = Statement(
    {"fingerprint": ASCII, "suppression": KEY, "suppressed_by": TEXT},
    f"""UPDATE ROWS STRAIGHT_JOIN {_IDENTITY} i ON i.fingerprint = j.fingerprint
        SET i.suppression = j.suppression, i.suppressed_by = j.suppressed_by WHERE i.open_alert_id IS NOT NULL""",
    f"""UPDATE {_IDENTITY} AS i SET suppression = j.suppression, suppressed_by = j.suppressed_by
        FROM ROWS WHERE i.fingerprint = j.fingerprint AND i.open_alert_id IS NOT NULL""",
)

# what was silenced or inhibited is that no more once it is over
_SET_IDENTITY = (
    "state = j.state, episodes = j.episodes, last_start = j.last_start, previous_start = j.previous_start, "
    "last_end = j.last_end, version = j.version, "
    # of one that is new it is now: no entry of the index moves
    "updated_at = CASE WHEN j.fresh THEN updated_at ELSE NOW() END, "
    "suppression = CASE WHEN j.open IS NULL THEN '' ELSE suppression END, "
    "suppressed_by = CASE WHEN j.open IS NULL THEN NULL ELSE suppressed_by END"
)
IDENTITIES = Statement(
    {
        "fingerprint": ASCII,
        "state": KEY,
        "open": INTEGER,
        "episodes": INTEGER,
        "last_start": TIME,
        "previous_start": TIME,
        "last_end": TIME,
        "version": INTEGER,
        "fresh": INTEGER,
    },
    f"UPDATE ROWS STRAIGHT_JOIN {_IDENTITY} i ON i.fingerprint = j.fingerprint "
    "SET i.open_alert_id = j.open, " + ", ".join(f"i.{part}" for part in _SET_IDENTITY.split(", ")),
    f"""UPDATE {_IDENTITY} AS i SET {_SET_IDENTITY}, open_alert_id = j.open
        FROM ROWS WHERE i.fingerprint = j.fingerprint""",
)
