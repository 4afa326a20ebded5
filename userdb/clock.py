"""The database's clock: what leases, windows and ages are measured by, so that hosts agree on it."""

from datetime import datetime

from django.db import connections

from userdb.router import alias
from userdb.rowsets import utc


def now() -> datetime:
    """Return the time in UTC by userdb's clock. One statement."""
    connection = connections[alias()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + utc_now(connection.vendor), [])
        moment = utc(cursor.fetchone()[0])
    assert moment is not None  # noqa: S101  (a clock is never NULL)
    return moment


def utc_now(vendor: str) -> str:
    """Return the SQL expression of the time in UTC with at least milliseconds, for a statement with parameters."""
    return "UTC_TIMESTAMP(6)" if vendor == "mysql" else "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"
