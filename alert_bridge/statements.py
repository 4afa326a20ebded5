"""The SQL of intake, for MySQL/MariaDB and for SQLite: a set of rows of any size is one statement.

Used by `ledgers.py`, `intake.py` and `replay.py`. The ORM's `bulk_create` costs two thirds of a webhook's time (measured), and
"insert or lock" can't be said with it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db import connections

from userdb.clock import utc_now
from userdb.models import Acknowledgement, Alert, AlertIdentity, AlertTransition, Channel, Notification, WebhookEvent
from userdb.router import alias
from userdb.rowsets import ASCII, INTEGER, KEY, TEXT, TIME, packs, pieces, plain, rowset

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
        parameters = list(packs(rows))
        if not parameters:
            return []
        connection = connections[alias()]
        sql = self._sql[connection.vendor]
        found: list[tuple[Any, ...]] = []
        with connection.cursor() as cursor:
            for parameter in parameters:
                cursor.execute(sql, [parameter])
                if cursor.description:
                    found.extend(cursor.fetchall())
        return found


class Among:
    """Rows of which a column is one of a list: literals on MySQL/MariaDB, one parameter on SQLite.

    The list takes the server half the time of a JSON_TABLE where it is short, and is as fast where it is long (measured).
    """

    def __init__(self, column: str, kind: str, select: str, end: str = "") -> None:
        self._kind = kind
        mysql, sqlite = (
            f"{select} WHERE {column} IN ({chosen}) {end}" for chosen in ("%b", "SELECT value FROM json_each(%s)")
        )
        self._mysql = mysql.replace("NOW()", utc_now("mysql")).encode()
        self._sqlite = sqlite.replace("NOW()", utc_now("sqlite"))

    def run(self, values: Iterable[Any]) -> list[tuple[Any, ...]]:
        """Execute once for all values and return what it selects; nothing is executed without values."""
        wanted = tuple(values)
        if not wanted:
            return []
        connection = connections[alias()]
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                literals = _column(wanted, self._kind, connection.connection.string_literal)
                cursor.execute((self._mysql % b",".join(literals)).decode())
            else:
                cursor.execute(self._sqlite, [json.dumps(wanted)])
            return list(cursor.fetchall())


class Insert:
    """Rows into one table: on MySQL/MariaDB as a list of values, on SQLite as one rowset.

    A list takes the server two thirds of a JSON_TABLE's time, and, because it is known how many rows there are, the table's
    lock for their numbers no longer than to take them. It is written here, by each column's kind, with the texts escaped by
    the driver: the driver's own way through its parameters took a third of a webhook's time (measured).
    """

    def __init__(
        self,
        table: str,
        columns: Mapping[str, str],
        mysql: str = "",
        sqlite: str = "",
        returning: str = "",
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        names = ", ".join(f"`{name}`" for name in columns)
        self._table, self._columns, self._defaults = table, columns, defaults or {}
        self._end = mysql.replace("NOW()", utc_now("mysql")).encode()
        self._returning = f" RETURNING {returning}".encode() if returning else b""
        whole = f"INSERT INTO {table} ({names}) SELECT {names} FROM ROWS WHERE TRUE {sqlite}{self._returning.decode()}"
        self._rowset = Statement(columns, whole)

    def run(self, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]] | None:
        """Execute for all rows; return what was asked of each, in no order, or None where the database can't (MySQL)."""
        connection = connections[alias()]
        if connection.vendor != "mysql":
            return self._rowset.run(rows)
        asked = self._returning if connection.features.can_return_rows_from_bulk_insert else b""
        connection.ensure_connection()  # by its character set the driver escapes
        names, columns = self._said(rows, connection.connection.string_literal)
        if not columns:
            return []
        head = f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ".encode()
        found: list[tuple[Any, ...]] = []
        with connection.cursor() as cursor:
            for values in pieces(map(b",".join, zip(*columns, strict=True)), _MOST):
                cursor.execute(b"".join((head, b"(", b"),(".join(values), b")", self._end, asked)).decode())
                if asked:
                    found.extend(cursor.fetchall())
        return found if asked else None

    def _said(
        self, rows: Iterable[Sequence[Any]], escaped: Callable[[Any], bytes]
    ) -> tuple[list[str], list[list[bytes]]]:
        """Return names and literals of the columns in which any row says something else than the database would itself."""
        names, columns = [], []
        for (name, kind), values in zip(self._columns.items(), zip(*rows, strict=True), strict=False):
            if name not in self._defaults or any(value != self._defaults[name] for value in values):
                names.append(f"`{name}`")
                columns.append(_column(values, kind, escaped))
        return names, columns


_MOST = 16_000_000  # bytes of values in one statement: a quarter of the max_allowed_packet that is asked for


def _column(values: tuple[Any, ...], kind: str, escaped: Callable[[Any], bytes]) -> list[bytes]:
    """Return a column's literals. Most columns say the same of every row, or one of a few things."""
    literals = {value: _literal(value, kind, escaped) for value in set(values)}
    return [literals[value] for value in values]


def _literal(value: Any, kind: str, escaped: Callable[[Any], bytes]) -> bytes:
    if value is None:
        return b"NULL"
    return b"%d" % value if kind == INTEGER else escaped(plain(value))


def channels() -> list[tuple[Any, ...]]:
    """Return the clock and the enabled channels' columns as the database has them."""
    connection = connections[alias()]
    with connection.cursor() as cursor:
        cursor.execute(_CHANNELS.replace("NOW()", utc_now(connection.vendor)), [])
        return list(cursor.fetchall())


def insert_webhook(row: Mapping[str, Any]) -> int:
    """Store one raw webhook; return its number."""
    names = ", ".join(row)
    sql = f"INSERT INTO {WebhookEvent._meta.db_table} ({names}) VALUES ({', '.join(['%s'] * len(row))})"
    with connections[alias()].cursor() as cursor:
        cursor.execute(sql, [plain(value) for value in row.values()])
        return int(cursor.lastrowid)


_NAMED = {"fingerprint": ASCII, "alertname": TEXT, "tenant": KEY, "severity": TEXT, "labels": TEXT}
_STANDING = {
    "state": KEY,
    "episodes": INTEGER,
    "last_start": TIME,
    "previous_start": TIME,
    "last_end": TIME,
    "version": INTEGER,
}

# an alert that nobody knew, as it is once its words are applied; an error when somebody else has inserted it meanwhile
INTRODUCE = Insert(_IDENTITY, _NAMED | _STANDING, defaults={"previous_start": None, "last_end": None})

# locks in key order, and nothing else: a small table would be scanned, others' locks waited for; each one's count of changes
VERSIONS = Statement(
    {"fingerprint": ASCII},
    f"""SELECT i.fingerprint, i.version
        FROM ROWS STRAIGHT_JOIN {_IDENTITY} i FORCE INDEX (PRIMARY) ON i.fingerprint = j.fingerprint FOR UPDATE""",
    f"SELECT i.fingerprint, i.version FROM ROWS JOIN {_IDENTITY} i ON i.fingerprint = j.fingerprint",
)

# inserts or locks, in key order; on SQLite the transaction itself is the lock
LOCK = Insert(
    _IDENTITY,
    _NAMED,
    f" ON DUPLICATE KEY UPDATE fingerprint = {_IDENTITY}.fingerprint",
    "ON CONFLICT (fingerprint) DO NOTHING",
)

# the enabled channels as they stand, without a thought of Django's, beside the clock
_CHANNELS = f"""SELECT NOW(), c.id, c.matchers, c.send_resolved, c.repeat_after, c.tenants, CAST(c.quiet_start AS CHAR),
                       CAST(c.quiet_end AS CHAR), c.quiet_zone, c.quiet_critical
                FROM {Channel._meta.db_table} c WHERE c.enabled ORDER BY c.id"""


def _text(*times: str) -> str:
    """Return times as texts, as SQLite has them: the driver's own reading of one takes ten times as long as Python's."""
    return ", ".join(f"CAST({time} AS CHAR)" for time in times)


# an identity and its last episode
STATE = Among(
    "i.fingerprint",
    ASCII,
    f"""SELECT i.fingerprint, i.state, i.episodes, {_text("i.last_start", "i.previous_start", "i.last_end")}, i.version,
               a.id, a.state, {_text("a.starts_at", "a.highest_start", "a.ends_at")}, a.closed_by, a.annotations,
               a.generator_url, {_text("NOW()")}, a.id IS NOT NULL AND a.first_webhook_id IS NULL
        FROM {_IDENTITY} i LEFT JOIN {_ALERT} a ON a.identity_id = i.fingerprint AND a.number = i.episodes""",
)

# the episode that a late end would mean: the first that had not begun after its start
EARLIER = Statement(
    {"fingerprint": ASCII, "start": TIME},
    f"""SELECT e.identity_id, {_text("j.start")}, e.number, e.state, {_text("e.starts_at", "e.highest_start", "e.ends_at")},
               e.closed_by, e.annotations, e.generator_url
        FROM ROWS JOIN {_ALERT} e ON e.identity_id = j.fingerprint AND e.highest_start = (
            SELECT MIN(f.highest_start) FROM {_ALERT} f
            WHERE f.identity_id = j.fingerprint AND f.highest_start >= j.start)""",
)


def _count(*conditions: str) -> str:
    """Return how many rows meet each; a SUM would be a decimal number on MySQL."""
    return ", ".join(f"COUNT(CASE WHEN n.{condition} THEN 1 END)" for condition in conditions)


HOLDINGS = Among(
    "n.alert_id",
    INTEGER,
    f"""SELECT n.alert_id, n.channel_id, {_count(*(f"kind = '{k}'" for k in ("firing", "refired", "repeat", "resolved")))},
               COALESCE(MAX(CASE WHEN n.kind IN ('firing', 'refired') AND n.state NOT IN ('void', 'unconfirmed')
                                 THEN n.id END), 0)
               > COALESCE(MAX(CASE WHEN n.kind = 'resolved' AND n.state <> 'void' THEN n.id END), 0),
               {_count("kind <> 'resolved' AND n.state IN ('owed', 'sending')", "state = 'unconfirmed'")},
               MAX(CASE WHEN n.kind <> 'resolved' THEN n.created_at END),
               EXISTS (SELECT 1 FROM {_ACKNOWLEDGEMENT} k WHERE k.alert_id = n.alert_id AND k.withdrawn_at IS NULL)
        FROM {_NOTIFICATION} n""",
    "GROUP BY n.alert_id, n.channel_id",
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
    returning="identity_id, number, id",
    defaults={"ends_at": None, "closed_by": ""},
)

# the numbers of earlier episodes' rows, and of those just written where the insert does not return them
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
    defaults={"source": "webhook", "ends_at": None},
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
    defaults={"ordinal": 1, "state": "owed", "reason": ""},
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
    f"""UPDATE ROWS STRAIGHT_JOIN {_IDENTITY} i FORCE INDEX (PRIMARY) ON i.fingerprint = j.fingerprint
        SET i.suppression = j.suppression, i.suppressed_by = j.suppressed_by WHERE i.state = 'firing'""",
    f"""UPDATE {_IDENTITY} AS i SET suppression = j.suppression, suppressed_by = j.suppressed_by
        FROM ROWS WHERE i.fingerprint = j.fingerprint AND i.state = 'firing'""",
)

# what was silenced or inhibited is that no more once it is over
_SET_IDENTITY = (
    "state = j.state, episodes = j.episodes, last_start = j.last_start, previous_start = j.previous_start, "
    "last_end = j.last_end, version = j.version, "
    # of one that is new it is now: no entry of the index moves
    "updated_at = CASE WHEN j.fresh THEN updated_at ELSE NOW() END, "
    "suppression = CASE WHEN j.state = 'firing' THEN suppression ELSE '' END, "
    "suppressed_by = CASE WHEN j.state = 'firing' THEN suppressed_by ELSE NULL END"
)
IDENTITIES = Statement(
    {"fingerprint": ASCII} | _STANDING | {"fresh": INTEGER},
    f"UPDATE ROWS STRAIGHT_JOIN {_IDENTITY} i FORCE INDEX (PRIMARY) ON i.fingerprint = j.fingerprint "
    "SET " + ", ".join(f"i.{part}" for part in _SET_IDENTITY.split(", ")),
    f"""UPDATE {_IDENTITY} AS i SET {_SET_IDENTITY}
        FROM ROWS WHERE i.fingerprint = j.fingerprint""",
)
