"""Reporter tokens: made once, shown once, kept as a hash.

The token is the tenant (DESIGN: reports API). Called by `route-management token`, the admin page and the reports API.
"""

import hashlib
import secrets
from datetime import datetime

from userdb.models import ReporterToken, Tenant

PREFIX = "mm_"  # so that a leaked token is recognised for what it is by secret scanners and by people


def digest(token: str) -> str:
    """Return what is kept of a token: SHA-256, hexadecimal. It has 256 random bits, so no salt or stretching is due."""
    return hashlib.sha256(token.encode()).hexdigest()


def create(tenant: Tenant, by: str, note: str = "", expires_at: datetime | None = None) -> tuple[str, ReporterToken]:
    """Return (the token, shown now and never again; its row)."""
    token = PREFIX + secrets.token_urlsafe(32)
    row = ReporterToken.objects.create(
        tenant=tenant, hash=digest(token), hint=token[:9], note=note, created_by=by[:150], expires_at=expires_at
    )
    return token, row
