"""System checks of userdb (`python manage.py check --database default`), with the cure in each hint."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, router

from userdb.router import alias

PACKET_NEEDED = 64 * 1024 * 1024


def packet_limit() -> int | None:
    """Return the server's max_allowed_packet in bytes, None on SQLite, which has no such limit."""
    connection = connections[alias()]
    if connection.vendor != "mysql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        return int(cursor.fetchone()[0])


@register(Tags.database)
def check_packet_limit(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn when a webhook of the full size would not pass into the database."""
    if not databases or alias() not in databases:
        return []
    limit = packet_limit()
    if limit is None or limit >= PACKET_NEEDED:
        return []
    return [
        Warning(
            f"max_allowed_packet is {limit} bytes: webhooks above {limit // 2} bytes are refused with 413.",
            hint=f"Set max_allowed_packet={PACKET_NEEDED} in the database server's configuration.",
            id="userdb.W001",
        )
    ]


@register(Tags.database)
def check_character_set(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Fail where texts of the world would be refused: MariaDB's default is latin1, which holds no Chinese (seen: a 503)."""
    if not databases or alias() not in databases:
        return []
    connection = connections[alias()]
    if connection.vendor != "mysql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT DATABASE(), @@character_set_database")
        name, character_set = cursor.fetchone()
    if character_set == "utf8mb4":
        return []
    return [
        Error(
            f"The database {name} has the character set {character_set}: other characters could not be stored.",
            hint=f"ALTER DATABASE `{name}` CHARACTER SET utf8mb4;  then migrate again.",
            id="userdb.E001",
        )
    ]


@register()
def check_host_settings(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Fail where a host project's settings would send rows to the wrong database, or times that are not UTC."""
    from userdb.models import MonitorEvent

    name = alias()
    if name not in connections:
        hint = "Add it to DATABASES, or name in USERDB_ALIAS the one that holds userdb."
        return [Error(f"There is no database {name!r}, where userdb's tables are.", hint=hint, id="userdb.E002")]
    found: list[CheckMessage] = []
    if {router.db_for_read(MonitorEvent), router.db_for_write(MonitorEvent)} != {name}:
        hint = 'Put "userdb.router.UserdbRouter" first in DATABASE_ROUTERS.'
        found.append(Error(f"Rows of userdb would not go to the database {name!r}.", hint=hint, id="userdb.E003"))
    if not settings.USE_TZ or connections[name].settings_dict["TIME_ZONE"] not in (None, "UTC"):
        hint = f"Set USE_TZ = True, and no TIME_ZONE in DATABASES[{name!r}]; the site's own TIME_ZONE is free."
        found.append(Error("Times would not be written to userdb in UTC.", hint=hint, id="userdb.E004"))
    return found
