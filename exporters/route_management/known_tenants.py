"""The tenants that userdb knows, kept in memory: what may be a label. Called by `middleware.py` at each request."""

import logging
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connections

from userdb import health
from userdb.models import Tenant
from userdb.router import alias

log = logging.getLogger(__name__)
REFRESH = 30.0
"""Seconds after which the names are read again, in a thread of its own: no request but a process' first waits for userdb."""

WATCH = 5.0
"""The same in `route-management web`, where a thread reads them all the time: one statement."""

_lock = threading.Lock()
_greeters: list[Callable[[str], None]] = []
_names: frozenset[str] = frozenset()
_read_at = float("-inf")


def unread() -> bool:
    """Return whether the next call of `names` waits for userdb."""
    return _read_at == float("-inf")


def names() -> frozenset[str]:
    """Return the names as last read, reading them when nobody has; starts reading them again when they are old."""
    global _read_at
    if unread():
        with _lock:  # a host project has no start at which to read: its first requests must not count as unknown
            if unread():
                _read_if_there()
                _read_at = time.monotonic()
    if time.monotonic() - _read_at >= REFRESH and _lock.acquire(blocking=False):
        try:
            if time.monotonic() - _read_at >= REFRESH:
                _read_at = time.monotonic()
                threading.Thread(target=_refresh, name="known-tenants", daemon=True).start()
        finally:
            _lock.release()
    return _names


def _read_if_there() -> None:
    try:
        read()
        health.UP.set(1)
    except (DatabaseError, InterfaceError) as error:
        health.UP.set(0)
        log.warning("tenants can't be read", extra={"error": str(error)})


def _refresh() -> None:
    try:
        _read_if_there()
    finally:
        connections[alias()].close()


def read() -> None:
    """Read the names now; django.db.Error when userdb can't tell them. Called at a process' start."""
    global _names, _read_at
    found = frozenset(Tenant.objects.values_list("name", flat=True))
    for name in found - _names:
        for greet in _greeters:
            greet(name)
    _names, _read_at = found, time.monotonic()


def on_known(greet: Callable[[str], None]) -> None:
    """Call greet(name) once for every tenant that is or becomes known: its counters of failures exist at 0 from then on."""
    _greeters.append(greet)
    for name in _names:
        greet(name)


def watch(stop: threading.Event) -> None:
    """Read the names every WATCH seconds until `stop` is set, so that mission_userdb_up is true without any request."""
    while not stop.wait(WATCH):
        _refresh()
