"""What stands beside an episode: the identity's other episodes, and what else fires of the same tenant now."""

from django.db.models import F

from userdb.models import Alert

SHOWN = 10


def episodes(alert: Alert) -> list[Alert]:
    """Return the other episodes of the same alert, the newest first, at most 10."""
    rows = Alert.objects.filter(identity=alert.identity_id).exclude(pk=alert.pk).order_by("-number")
    return list(rows.defer("annotations", "generator_url")[:SHOWN])


def firing_of_tenant(alert: Alert) -> list[Alert]:
    """Return the open episodes of the tenant's other alerts that fire now, at most 10."""
    if not alert.identity.tenant:
        return []
    rows = Alert.objects.filter(identity__state="firing", identity__tenant=alert.identity.tenant)
    # in no order: by the newest the database might read all alerts backwards for the few of one tenant
    rows = rows.filter(number=F("identity__episodes")).exclude(identity=alert.identity_id).order_by()
    return list(rows.select_related("identity").defer("annotations", "generator_url")[:SHOWN])
