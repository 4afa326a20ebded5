"""All that is known of one episode, in the order in which it happened: what `pages/story.py` puts into words.

Called by the alert's page. A constant number of statements; a page holds at most `window.ROWS` rows of the chain.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alert_bridge.queries import failures, window
from alert_bridge.queries.window import Source, Window
from userdb.models import (
    Acknowledgement,
    Alert,
    AlertTransition,
    AuditEntry,
    DeliveryAttempt,
    MonitorEvent,
    Notification,
)

ACTIONS = ("silence", "expire_silence", "withdraw_acknowledgement")
"""What people did about an alert, as the audit calls it; acknowledgements are rows of their own."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One page of an episode's history."""

    failures: list[MonitorEvent]
    """Before the first word of it; on the first page alone."""
    rows: Window


def read(alert: Alert, since: datetime | None = None, until: datetime | None = None, newest: bool = False) -> Timeline:
    """Return the page that begins at `since` or ends before `until`; the last one when `newest`; else the first."""
    sources = _sources(alert)
    rows = window.last(sources, until) if until is not None or newest else window.first(sources, since)
    return Timeline([] if rows.earlier else failures.behind(alert), rows)


def _sources(alert: Alert) -> list[Source]:
    """Return causes before what they cause: that is their order where times are equal."""
    # the webhook's body may be 32 MB: of it only what the line says
    brought: Any = AlertTransition.objects.filter(alert=alert).select_related("webhook").defer(
        "webhook__body", "webhook__group_key", "webhook__odd", "webhook__error"
    )  # fmt: skip
    owed = Notification.objects.filter(alert=alert).select_related("channel", "digest")
    tried = DeliveryAttempt.objects.filter(notification__alert=alert).select_related("notification__channel")
    return [
        Source(brought, "at"),
        Source(owed, "created_at"),
        Source(tried, "started_at"),
        Source(Acknowledgement.objects.filter(alert=alert), "at"),
        Source(AuditEntry.objects.filter(kind="alert", object_id=str(alert.pk), action__in=ACTIONS), "at"),
    ]
