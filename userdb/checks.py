"""System checks of userdb (`python manage.py check --database default`), with the cure in each hint."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections

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
