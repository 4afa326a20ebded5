"""What stands beside an episode: the identity's other episodes, and what else fires of the same tenant now."""

from userdb.models import Alert, AlertIdentity

SHOWN = 10


def episodes(alert: Alert) -> list[Alert]:
    """Return the other episodes of the same alert, the newest first, at most 10."""
    rows = Alert.objects.filter(identity=alert.identity_id).exclude(pk=alert.pk).order_by("-number")
    return list(rows.defer("annotations", "generator_url")[:SHOWN])


def firing_of_tenant(alert: Alert) -> list[AlertIdentity]:
    """Return the other alerts of the tenant that fire now with their open episode, at most 10."""
    if not alert.identity.tenant:
        return []
    rows = AlertIdentity.objects.filter(state="firing", tenant=alert.identity.tenant).exclude(pk=alert.identity_id)
    return list(rows.exclude(open_alert=None).select_related("open_alert")[:SHOWN])
