"""Runs work in one transaction, and again when the database asks for it: deadlock, lock timeout, SQLite's BUSY.

Called by intake, the reports API and the relay. Nothing is sent from inside the work: it may run more than once.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connections, transaction
from prometheus_client import Counter

from userdb.router import alias

T = TypeVar("T")


class Overtaken(Exception):
    """What was read before the transaction holds no more: somebody else wrote meanwhile. Nothing of the work is kept."""


RERUNS = Counter("mission_userdb_reruns_total", "Transactions run again because the database asked for it.", ["reason"])
for _reason in ("deadlock", "lock_timeout", "busy", "overtaken"):
    RERUNS.labels(_reason)

_MYSQL = {1213: "deadlock", 1205: "lock_timeout", 1020: "deadlock"}  # 1020: "record has changed"


class UserdbAway(Exception):
    """userdb did not take the work within its deadline, or can't be reached. Nothing of the work is kept: try again."""


def rerun_reason(error: BaseException) -> str | None:
    """Return why the same transaction may succeed when run again, else None (MySQL error codes, sqlite3 text)."""
    if isinstance(error, Overtaken):
        return "overtaken"
    if not isinstance(error, OperationalError) or not error.args:
        return None
    if "locked" in str(error.args[0]):
        return "busy"
    return _MYSQL.get(error.args[0])


def in_transaction(work: Callable[[], T], deadline: float = 6.0) -> T:
    """Return work()'s result once committed; raise UserdbAway when userdb is away or `deadline` seconds have passed.

    Alertmanager hangs up after 10 s and sends again beside the first, hence 6 s for a whole webhook.
    """

    def attempt() -> T:
        with transaction.atomic(using=alias()):
            return work()

    return rerunning(attempt, deadline)


def rerunning(attempt: Callable[[], T], deadline: float = 6.0) -> T:
    """Return attempt()'s result, made again as `in_transaction` does; its transaction, if it needs one, is its own."""
    ends = time.monotonic() + deadline
    tries = 0
    while True:
        tries += 1
        try:
            return attempt()
        except (OperationalError, InterfaceError, Overtaken) as error:
            reason = rerun_reason(error)
            pause = random.uniform(0, min(0.5, 0.01 * 2**tries))  # noqa: S311
            if reason is None:
                # whatever this connection was, it is not to be trusted with the next request
                connections[alias()].close()
                raise UserdbAway(f"userdb: {error}") from error
            RERUNS.labels(reason).inc()
            if time.monotonic() + pause >= ends:
                raise UserdbAway(f"userdb: no success within {deadline:g} s ({reason}): {error}") from error
            time.sleep(pause)
