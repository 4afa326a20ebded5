"""Events into userdb: one statement for all events of a report, one more for the token's use.

Called by `reports.py`; the pod exporter's history and `request_history.py` insert their events by the same statement.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import DataError, connections

from exporters.route_management.payload import Event
from exporters.route_management.reporters import note_use
from userdb.models import ReporterToken
from userdb.router import alias
from userdb.rowsets import ASCII, KEY, TEXT, TIME, packs, rowset
from userdb.transactions import in_transaction

COLUMNS = {
    "event_id": ASCII, "occurred_at": TIME, "tenant": KEY, "task": KEY, "failure_type": KEY, "level": KEY,
    "message": TEXT, "detail": TEXT, "source": TEXT,
}  # fmt: skip

_DUPLICATE = 1062


def keep(token: ReporterToken, events: Sequence[Event]) -> int:
    """Insert the tenant's events in their order, those that it has reported before left out; return how many were new.

    Raises UserdbAway when userdb does not take them, DataError when it would change them.
    """
    tenant = token.tenant.name
    rows = [
        (
            e.id, e.occurred_at, tenant, e.task, e.failure_type, e.level, e.message,
            None if e.detail is None else json.dumps(e.detail, ensure_ascii=False), e.source,
        )
        for e in events
    ]  # fmt: skip

    def work() -> int:
        note_use(token)
        return insert("gateway", rows)

    return in_transaction(work)


def insert(event_type: str, rows: Iterable[Sequence[Any]]) -> int:
    """Insert rows of `COLUMNS`, those that userdb has left out, and return how many were new. Called in a transaction.

    Raises DataError when the database would change a value.
    """
    connection = connections[alias()]
    with connection.cursor() as cursor:
        new = 0
        for pack in packs(rows):
            cursor.execute(_insert(connection.vendor), [event_type, pack])
            new += cursor.rowcount
            if connection.vendor == "mysql" and connection.connection.warning_count():
                _refuse_changed(cursor)
    return new


def _refuse_changed(cursor: Any) -> None:
    """Raise DataError when IGNORE passed over more than duplicates: a value cut or changed, a row left out."""
    cursor.execute("SHOW WARNINGS")
    odd = [text for _, code, text in cursor.fetchall() if code != _DUPLICATE]
    if odd:
        raise DataError(f"the database would not have kept what was reported: {odd[0]}")


def _insert(vendor: str) -> str:
    names = ", ".join(COLUMNS)
    # every value fits its column (payload.py), so that IGNORE passes over nothing but duplicates; _refuse_changed makes sure
    verb, end = ("INSERT IGNORE", "") if vendor == "mysql" else ("INSERT", " WHERE true ON CONFLICT DO NOTHING")
    picked = f"SELECT %s, {names} FROM {rowset(vendor, COLUMNS)}{end}"  # noqa: S608  (names of our own)
    return f"{verb} INTO userdb_monitorevent (event_type, {names}) {picked}"
