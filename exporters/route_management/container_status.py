"""The platform's own word about a container, as a row. Called by `report_container_status`."""

from typing import Any

from runtime.closed_sets import LEVELS, UNKNOWN
from runtime.texts import clean
from userdb.models import MonitorEvent, Tenant


def write(message: str, detail: dict[str, Any] | None, level: str) -> None:
    """Insert one MonitorEvent; ValueError for a level that is none, TypeError for a detail that is no JSON object."""
    if level not in LEVELS:
        raise ValueError(f"level: {level!r} is none of {', '.join(LEVELS)}")
    named = str((detail or {}).get("tenant", ""))
    known = Tenant.objects.filter(name=named).exists()
    MonitorEvent.objects.create(
        event_type="container",
        source="route_management",
        level=level,
        message=clean(message),
        detail=detail,
        tenant=named if known else UNKNOWN,
    )
