"""Is userdb there, and is its schema the one this program was written for? Asked at each start and by readiness."""

from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.executor import MigrationExecutor
from prometheus_client import Gauge

from runtime.settings import SettingsError
from userdb.router import alias

UP = Gauge("mission_userdb_up", "1: userdb answered when this process last asked.")

CURE = "run 'python manage.py migrate'"


def trouble() -> str | None:
    """Return None when userdb answers, else one sentence. One statement, the calling thread's own connection."""
    try:
        with connections[alias()].cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError) as error:
        connections[alias()].close()
        UP.set(0)
        return f"userdb can't be reached: {_short(error)}"
    UP.set(1)
    return None


def require_migrated() -> None:
    """Raise SettingsError when userdb can't be opened or lacks a migration."""
    connection = connections[alias()]
    try:
        executor = MigrationExecutor(connection)
        # in a host project's settings the other applications' tables are elsewhere
        only = None if alias() == "default" else "userdb"
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes(only))
    except (DatabaseError, InterfaceError) as error:
        raise SettingsError(cure(error)) from error
    finally:
        connection.close()
    if plan:
        raise SettingsError(f"userdb lacks {len(plan)} migrations: {CURE}")
    UP.set(1)


def cure(error: Exception) -> str:
    """Return the line that tells an operator what to do about a userdb that can't be opened."""
    return f"userdb can't be opened ({_short(error)}): check USERDB_URL, or {CURE}"


def _short(error: Exception) -> str:
    return str(error.args[-1] if error.args else error)[:200]
