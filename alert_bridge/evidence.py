"""The last failures behind an alert: rows of `MonitorEvent` of its tenant, and of its task and type where it names them.

Called by `relay.py` before it begins a try, outside any transaction; the alert's page asks for more of them. What it costs
does not grow with the table.
"""

from django.db.models import QuerySet
from django.db.models.functions import Substr

from runtime.closed_sets import EVENT_TYPES
from userdb.models import MonitorEvent, Notification

SHOWN = 3
_LOOKED_AT = 200
"""Rows of the tenant among which they are looked for: read in the index's order, so an odd task costs no walk through all."""
_MESSAGE = 500


def _event_type(labels: dict[str, str]) -> str:
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
    heard = MonitorEvent.objects.filter(received_at__lte=caused_at)
    return failures(heard, tenant, labels, _LOOKED_AT, _MESSAGE)[:SHOWN]


def failures(
    rows: QuerySet[MonitorEvent], tenant: str, labels: dict[str, str], looked_at: int, cut: int
) -> list[MonitorEvent]:
    """Return of the tenant's last `looked_at` rows of the alert's kind its failures, of its task and type, newest first.

    Messages are cut at `cut` characters (`said`).
    """
    rows = rows.filter(tenant=tenant, event_type=_event_type(labels))
    newest = rows.defer("message", "detail").annotate(said=Substr("message", 1, cut)).order_by("-pk")
    asked = {name: labels[name] for name in ("task", "failure_type") if labels.get(name)}
    return [
        row
        for row in newest[:looked_at]
        if row.level != "info" and all(getattr(row, name) == value for name, value in asked.items())
    ]
