"""The last failures behind an alert: rows of `MonitorEvent` of its tenant, and of its task and type where it names them.

Called by `relay.py` before it begins a try, outside any transaction; the alert's page asks which events an alert is
about. What it costs does not grow with the table.
"""

from django.db.models.functions import Substr

from runtime.closed_sets import EVENT_TYPES
from userdb.models import MonitorEvent, Notification

SHOWN = 3
_LOOKED_AT = 200
"""Rows of the tenant among which they are looked for: read in the index's order, so an odd task costs no walk through all."""
_MESSAGE = 500


def event_type_of(labels: dict[str, str]) -> str:
    """Return which events an alert is about: its label says so, or what it is labelled with; business failures else."""
    said = labels.get("event_type", "")
    if said in EVENT_TYPES:
        return said
    return "container" if "pod" in labels or "container" in labels else "gateway"


def of(notification: int) -> list[MonitorEvent]:
    """Return at most 3 failures received before the notification's cause, the newest first, messages cut at 500.

    Nothing later: every try of a message says the same.
    """
    about = Notification.objects.filter(pk=notification).values_list("identity__tenant", "identity__labels", "cause_at")
    tenant, labels, caused_at = about.first() or ("", {}, None)
    if not tenant or not isinstance(labels, dict):
        return []
    rows = MonitorEvent.objects.filter(tenant=tenant, event_type=event_type_of(labels), received_at__lte=caused_at)
    asked = {name: labels[name] for name in ("task", "failure_type") if labels.get(name)}
    newest = rows.defer("message", "detail").annotate(said=Substr("message", 1, _MESSAGE)).order_by("-id")
    failures = (row for row in newest[:_LOOKED_AT] if row.level != "info")
    fitting: list[MonitorEvent] = [
        row for row in failures if all(getattr(row, name) == value for name, value in asked.items())
    ]
    return fitting[:SHOWN]
