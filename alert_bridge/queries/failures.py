"""The failure events behind an alert's page: those of its tenant, task and type that were received before it was heard.

Called by `timeline.py`. Two statements, however old the alert and however many events there are.
"""

from datetime import timedelta

from alert_bridge import evidence
from userdb.admin.times import SLACK
from userdb.models import Alert, MonitorEvent

SHOWN = 20
_BEFORE = timedelta(hours=1)
_LOOKED_AT = 500
"""Rows of the tenant among which they are looked for, the newest first."""
_MESSAGE = 200


def behind(alert: Alert) -> list[MonitorEvent]:
    """Return the last 20 failures that came within the hour before the alert began until it was heard, oldest first.

    Messages are cut at 200 characters (`said`).
    """
    identity = alert.identity
    if not identity.tenant or not isinstance(identity.labels, dict):
        return []
    # an old alert's events are found by their number: the index by tenant is ordered by it
    heard = MonitorEvent.objects.filter(received_at__lte=alert.created_at).order_by("-received_at")
    newest = heard.values_list("pk", flat=True).first()
    if newest is None:
        return []
    rows = MonitorEvent.objects.filter(pk__lte=newest + SLACK, received_at__lte=alert.created_at)
    since = alert.starts_at - _BEFORE
    found = evidence.failures(rows, identity.tenant, identity.labels, _LOOKED_AT, _MESSAGE)
    fitting = [row for row in found if row.received_at >= since]
    return sorted(fitting[:SHOWN], key=lambda row: (row.received_at, row.pk))
