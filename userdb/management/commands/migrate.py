"""Django's `migrate`, which alone may make the SQLite file: every other process opens it only where it is."""

from typing import Any

from django.core.management.commands.migrate import Command as Migrate
from django.db import connections

from userdb.router import alias
from userdb.site import sqlite_path


class Command(Migrate):
    def execute(self, *args: Any, **options: Any) -> Any:
        # before the system checks, which already open the database
        path = sqlite_path()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            # a migration of a large table takes longer than a web process may wait
            connections[alias()].settings_dict["OPTIONS"].pop("read_timeout", None)
        return super().execute(*args, **options)
