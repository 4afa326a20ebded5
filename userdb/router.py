"""Sends userdb's tables to their database: `default` on our own sites, the alias `userdb` in a host project.

A host project adds `userdb.router.UserdbRouter` to DATABASE_ROUTERS and a database named by USERDB_ALIAS.
"""

from typing import Any

from django.conf import settings
from django.db.models import Model


def alias() -> str:
    """Return the name of the database that holds userdb; every `atomic()` of the project names it."""
    return getattr(settings, "USERDB_ALIAS", "default")


class UserdbRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return alias() if model._meta.app_label == "userdb" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if app_label == "userdb":
            return db == alias()
        # the database is the admin service's too: a host project's users and sessions would meet those of its own
        return False if db == alias() != "default" else None
