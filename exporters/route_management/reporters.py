"""Who reports: a reporter token names its tenant. Called by `reports.py`.

A flood of strangers is cheap: what is no token of ours costs no statement, and one that userdb did not know is not looked up
again for UNKNOWN_FOR seconds.
"""

import re
import threading
import time
from collections import OrderedDict
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from userdb import tokens
from userdb.models import ReporterToken

UNKNOWN_FOR = 3.0
"""Seconds that a refused token is refused without asking: as long may a tenant that is enabled again have to wait."""
MOST_UNKNOWN = 10_000
_USED_EVERY = timedelta(minutes=1)
_TOKEN = re.compile(re.escape(tokens.PREFIX) + r"[A-Za-z0-9_-]{32,120}")


class Refused:
    """Hashes of tokens that userdb did not know a moment ago; the latest MOST_UNKNOWN. Safe for threads."""

    def __init__(self, most: int = MOST_UNKNOWN, seconds: float = UNKNOWN_FOR) -> None:
        self._most, self._seconds = most, seconds
        self._lock = threading.Lock()
        self._until: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, digest: str) -> bool:
        until = self._until.get(digest)
        return until is not None and time.monotonic() < until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, digest: str) -> None:
        with self._lock:
            self._until[digest] = time.monotonic() + self._seconds
            self._until.move_to_end(digest)
            while len(self._until) > self._most:
                self._until.popitem(last=False)


REFUSED = Refused()


def reporter(authorization: str, refused: Refused = REFUSED) -> ReporterToken | None:
    """Return the token of `Authorization: Bearer <token>` with its tenant, None when it is not in force.

    At most one statement. What was refused is remembered by its hash, the token itself nowhere.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(given.strip()):
        return None
    digest = tokens.digest(given.strip())
    if digest in refused:
        return None
    found = _in_force(digest)
    if found is None:
        refused.add(digest)
    return found


def _in_force(digest: str) -> ReporterToken | None:
    # found by the hash of 256 random bits: what the look-up's duration tells about a hash is worth nothing
    rows = ReporterToken.objects.select_related("tenant").filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        hash=digest,
        revoked_at=None,
        tenant__enabled=True,
    )
    return rows.first()


def note_use(token: ReporterToken) -> None:
    """Write when the token was last used, once a minute at most."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at >= _USED_EVERY:
        ReporterToken.objects.filter(pk=token.pk).update(last_used_at=now)
