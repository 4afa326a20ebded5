"""Who reports: a reporter token names its tenant. Called by `reports.py`."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from userdb import tokens
from userdb.models import ReporterToken

_USED_EVERY = timedelta(minutes=1)


def reporter(authorization: str) -> ReporterToken | None:
    """Return the token of `Authorization: Bearer <token>` with its tenant, None when it is not in force. One statement."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        return None
    # found by the hash of 256 random bits: what the look-up's duration tells about a hash is worth nothing
    rows = ReporterToken.objects.select_related("tenant").filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        hash=tokens.digest(given.strip()),
        revoked_at=None,
        tenant__enabled=True,
    )
    return rows.first()


def note_use(token: ReporterToken) -> None:
    """Write when the token was last used, once a minute at most."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at >= _USED_EVERY:
        ReporterToken.objects.filter(pk=token.pk).update(last_used_at=now)
