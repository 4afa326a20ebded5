"""Which firing alerts an Alertmanager lists for us and never sent: for reconciliation, the bridge's own watch and the pages."""

from django.db.models import Exists, F, OuterRef, QuerySet

from userdb.models import Alert, AlertIdentity, AlertTransition

_Kind, _Source = AlertTransition.Kind, AlertTransition.Source


def unsent_alerts() -> QuerySet[Alert]:
    """Return the episodes that reconciliation found firing and that no webhook has brought since.

    Left out are those that are silenced or inhibited, which is why nothing was sent, and those that followed an episode
    which was sent: Alertmanager tells such a one with its next repeat.
    """
    followed = AlertTransition.objects.filter(
        identity=OuterRef("identity"), version=OuterRef("version") - 1, kind=_Kind.SUPERSEDED
    )
    found = AlertTransition.objects.filter(
        ~Exists(followed),
        identity=OuterRef("identity"),
        alert=OuterRef("pk"),
        source=_Source.RECONCILIATION,
        kind__in=(_Kind.FIRING, _Kind.REFIRED),
    )
    return Alert.objects.filter(
        Exists(found),
        state=Alert.State.FIRING,
        first_webhook=None,
        identity__origin=AlertIdentity.Origin.ALERTMANAGER,
        identity__suppression=AlertIdentity.Suppression.NONE,
        number=F("identity__episodes"),
    )
