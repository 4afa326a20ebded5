"""Django's `migrate`, which alone may make the SQLite file: every other process opens it only where it is."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as Migrate
from django.db import connections

from userdb.router import alias


class Command(Migrate):
    def execute(self, *args: Any, **options: Any) -> Any:
        # before the system checks, which already open the database; a host project's other databases are not ours
        if options.get("database") == alias():
            connection = connections[alias()]
            name = urlsplit(str(connection.settings_dict["NAME"]))
            if connection.vendor == "sqlite" and name.scheme == "file" and name.query == "mode=rw":
                path = Path(unquote(name.path))
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
                except OSError as error:
                    raise CommandError(f"USERDB_URL: {path} can't be made: {error.strerror}") from error
            if alias() != "default" and not options.get("app_label") and not options.get("run_syncdb"):
                # a host project: Django would note its other migrations as done here, though the router keeps their
                # tables out, and the admin service's own migrate would then leave out its users and sessions
                options["app_label"] = "userdb"
            # a migration of a large table takes longer than a web process may wait
            connection.settings_dict["OPTIONS"].pop("read_timeout", None)
        return super().execute(*args, **options)
