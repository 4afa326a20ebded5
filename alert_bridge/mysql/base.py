"""Django's own database wrapper, but for how a transaction begins and how often a connection is asked whether it lives.

Django says `SET autocommit=0` before a transaction and `SET autocommit=1` after it; BEGIN alone does the same. It pings each
connection at each request, when a webhook is taken in two milliseconds.
"""

import time
from typing import Any

from django.db.backends.mysql import base

TRUSTED = 1.0
"""Seconds for which a connection that has answered is taken to be alive. One that died meanwhile fails one request, which is
answered with 503 and comes again; it is closed by that (userdb/transactions.py)."""


class DatabaseWrapper(base.DatabaseWrapper):
    """The name by which Django looks for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answered = 0.0

    def _start_transaction_under_autocommit(self) -> None:
        """Begin a transaction; what Django calls where this is defined, as SQLite's wrapper does."""
        with self.wrap_database_errors:
            self.connection.query(b"BEGIN")

    def is_usable(self) -> bool:
        """Return whether the connection lives; after an error it has to say so itself."""
        now = time.monotonic()
        if now - self._answered < TRUSTED and not self.errors_occurred:
            return True
        usable = bool(super().is_usable())
        self._answered = now if usable else 0.0
        return usable

    def close(self) -> None:
        """Close it; the next one has to answer for itself."""
        self._answered = 0.0
        super().close()
