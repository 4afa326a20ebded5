"""The calling thread's connection to userdb, before it is used again after a while. Called by `history.py`, `usage_rows.py`."""

from django.db import connections

from userdb.router import alias


def renew() -> None:
    """Close a connection that is broken or too old; the next statement opens another. Nothing inside a transaction."""
    connection = connections[alias()]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
