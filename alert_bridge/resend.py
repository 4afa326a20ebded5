"""Dead letters, sent again because a person says so. Called by the admin's pages and by the command `alert-bridge resend`.

Back to owed: its tries and its lateness count from now on. A firing whose episode is over carries the end. The members of a
digest that is dead go with it; one that is chosen alone leaves it. What a channel that is off would void stays dead.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db.models import F, QuerySet
from prometheus_client import Counter

from userdb import audit, clock
from userdb.models import AlertIdentity, Channel, Notification
from userdb.transactions import in_transaction

_BATCH = 100
"""The most chosen rows that one transaction changes."""
_Kind, _State = Notification.Kind, Notification.State

RESENT = Counter("mission_notifications_resent_total", "Dead notifications sent again by a person.", ["channel"])


def dead(channel: str = "", reason: str = "") -> QuerySet[Notification]:
    """Return the dead letters, of one channel (by name) or reason where they are given, the newest first.

    A digest stands for its members: they are not among them.
    """
    return _dead(channel, reason).exclude(digest__state=_State.DEAD)


def chosen(pks: Iterable[int], channel: str = "", reason: str = "") -> QuerySet[Notification]:
    """Return those of these notifications that are dead, also single members of a dead digest."""
    return _dead(channel, reason).filter(pk__in=list(pks))


def _dead(channel: str, reason: str) -> QuerySet[Notification]:
    rows = Notification.objects.filter(state=_State.DEAD)
    if channel:
        rows = rows.filter(channel__name=channel)
    if reason:
        rows = rows.filter(reason=reason)
    return rows.order_by("-pk")


def resend(which: QuerySet[Notification], by: str) -> int:
    """Let the dead ones of `which` be owed again, and return how many that were; `by`: who wanted it, for the audit.

    At most 100 a transaction, each with its audit entries: what is committed is on record. Raises UserdbAway.
    """
    dead_ones = which.filter(state=_State.DEAD, channel__enabled=True).order_by("pk").values_list("pk", "digest")
    rows = list(dead_ones)
    here = {pk for pk, _ in rows}
    total = 0
    for pks in _batches([pk for pk, digest in rows if digest not in here]):
        counts = in_transaction(lambda pks=pks: _resend(pks, by))  # type: ignore[misc]
        for channel, count in counts.items():
            RESENT.labels(channel).inc(count)
        total += sum(counts.values())
    return total


def _batches(pks: list[int]) -> Iterator[list[int]]:
    for first in range(0, len(pks), _BATCH):
        yield pks[first : first + _BATCH]


def _resend(pks: list[int], by: str) -> dict[str, int]:
    # lock order everywhere: the identities first, then their notifications
    picked = Notification.objects.filter(pk__in=pks)
    fingerprints = sorted({found for found in picked.values_list("identity", flat=True) if found})
    list(AlertIdentity.objects.select_for_update().filter(pk__in=fingerprints).order_by("pk").values_list("pk"))
    rows = list(picked.filter(state=_State.DEAD).order_by("pk").select_for_update().only("pk", "kind", "channel_id"))
    now = clock.now()
    _owe([row.pk for row in rows], now)
    digests = [row.pk for row in rows if row.kind == _Kind.DIGEST]
    Notification.objects.filter(digest__in=digests, state=_State.DEAD).update(state=_State.IN_DIGEST)
    return _recorded(rows, by)


def _owe(pks: list[int], now: datetime) -> None:
    Notification.objects.filter(pk__in=pks).update(
        state=_State.OWED,
        reason="",
        digest=None,
        attempts_before=F("attempts"),
        due_at=now,
        first_due_at=now,
    )


def _recorded(rows: list[Notification], by: str) -> dict[str, int]:
    by_channel: dict[int, list[int]] = {}
    for row in rows:
        by_channel.setdefault(row.channel_id, []).append(row.pk)
    counts = {}
    for channel in Channel.objects.filter(pk__in=by_channel):
        pks = by_channel[channel.pk]
        audit.record(by, "resend", channel, new={"count": len(pks), "notifications": pks})
        counts[channel.name] = len(pks)
    return counts
