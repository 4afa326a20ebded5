"""A digest: one notification that stands for many of its channel, its members. Called by `claims.py`, inside transactions.

Into one go what is late, what has failed itself when a digest goes out anyway, and, over the channel's limit, all that waits
but the critical alerts for which there is room. Made in one transaction that sets its members `in_digest`; they become
delivered, dead or void with it. One that is not being sent takes in more: after a try, which may have arrived, it is another
message then and has another key. Every digest is a try like any other: it counts in the limit, has a lease, rests and dies.
"""

from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from prometheus_client import Counter

from alert_bridge import due
from alert_bridge.ledgers import OWED
from userdb.models import AlertIdentity, AlertTransition, Channel, Notification

MEMBERS = 2_000
"""The most that one digest stands for; it is made in one transaction, whatever their number."""
_SPACING = timedelta(seconds=10)
"""Over the limit, from one digest of a channel to the next: so one stands for more."""
_Kind, _State = Notification.Kind, Notification.State

DIGESTS = Counter("mission_digests_total", "Digests made, each of which stands for several notifications.", ["channel"])
MEMBERS_TOTAL = Counter(
    "mission_digest_members_total", "Notifications that went into a digest, by why.", ["channel", "reason"]
)
REASONS = ("late", "over_limit", "failed")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a transaction put into which digest; to be counted once it is committed."""

    digest: Notification
    made: bool
    members: Tally[str] = field(default_factory=Tally)
    """By reason."""

    def count(self, channel: str) -> None:
        if self.made:
            OWED.labels(_Kind.DIGEST).inc()
            DIGESTS.labels(channel).inc()
        for reason, number in self.members.items():
            MEMBERS_TOTAL.labels(channel, reason).inc(number)


def count_from_zero(channel: Channel) -> None:
    """Let the series of a channel exist."""
    DIGESTS.labels(channel.name)
    for reason in REASONS:
        MEMBERS_TOTAL.labels(channel.name, reason)


def wanted(channel: Channel, now: datetime) -> bool:
    """Return whether something is late, or a digest that failed is due again and could take in what failed since."""
    again = Q(state=_State.OWED, kind=_Kind.DIGEST, due_at__lte=now) & due.tried()
    return Notification.objects.filter(due.late() | again, channel=channel).exists()


def too_soon(channel: Channel, now: datetime) -> bool:
    """Return whether the channel's last digest was made so recently that the next one over its limit can wait."""
    recent = Notification.objects.filter(channel=channel, alert=None, kind=_Kind.DIGEST, created_at__gt=now - _SPACING)
    return recent.exclude(state=_State.OWED).exists()


def gather(channel: Channel, now: datetime, everything: bool) -> Gathered | None:
    """Put what may go into a digest into the channel's waiting one, or a new one, and return it; None: there is none.

    `everything`: all that waits, else what is late, what follows it, and what has failed. The channel's row is locked.
    """
    late = Notification.objects.filter(due.late(), channel=channel)
    void(_superseded(late).values_list("pk", flat=True), "superseded")
    some = due.free(now) if everything else due.free(now) & (due.tried() | due.after_late())
    rows = Notification.objects.filter(due.late() | some, channel=channel).order_by("pk")
    found = list(rows.select_for_update(skip_locked=True)[:MEMBERS])
    due.mark_unknown([row.pk for row in found if row.state == _State.SENDING])
    found = _without_untold_ends(channel, found)
    waiting = _waiting(channel)
    if not found:
        return Gathered(waiting, False) if waiting else None
    if waiting is None and len(found) == 1 and found[0].state != _State.LATE:
        return None  # a digest of one says less than the one
    digest = _grown(waiting, found) if waiting else _made(channel, found, now)
    return Gathered(digest, waiting is None, _put(digest, found, "over_limit" if everything else "failed"))


def _without_untold_ends(channel: Channel, found: list[Notification]) -> list[Notification]:
    """Make ends void whose firing is told nowhere, not in this digest either, where the channel wants none such."""
    if channel.resolved_without_firing:
        return found
    here = {row.alert_id for row in found if row.kind != _Kind.RESOLVED}
    asked = {row.alert_id for row in found if row.kind == _Kind.RESOLVED} - here
    told = Notification.objects.filter(
        channel=channel, alert__in=asked, state__in=(_State.DELIVERED, _State.IN_DIGEST)
    ).exclude(kind=_Kind.RESOLVED)
    known = here | set(told.values_list("alert", flat=True))
    untold = [row.pk for row in found if row.alert_id not in known]
    void(untold, "firing_not_delivered")
    return [row for row in found if row.alert_id in known]


def _waiting(channel: Channel) -> Notification | None:
    rows = Notification.objects.filter(channel=channel, state=_State.OWED, kind=_Kind.DIGEST)
    return rows.select_for_update(skip_locked=True).order_by("-pk").first()


def _made(channel: Channel, found: list[Notification], now: datetime) -> Notification:
    # a member that was sent again by hand may have been the lowest of a digest before
    beginning = f"digest.{channel.pk}.{found[0].pk}."
    before = Notification.objects.filter(key__startswith=beginning).aggregate(last=Max("ordinal"))["last"] or 0
    return Notification.objects.create(
        key=f"{beginning}{before + 1}",
        channel=channel,
        kind=_Kind.DIGEST,
        ordinal=before + 1,
        cause_at=min(row.cause_at for row in found),
        due_at=now,
        # of the oldest member: how long the channel has missed something
        first_due_at=min(row.first_due_at for row in found),
    )


def _grown(digest: Notification, found: list[Notification]) -> Notification:
    digest.cause_at = min(digest.cause_at, *(row.cause_at for row in found))
    digest.first_due_at = min(digest.first_due_at, *(row.first_due_at for row in found))
    if digest.attempts:
        digest.ordinal += 1
        digest.key = f"{digest.key.rpartition('.')[0]}.{digest.ordinal}"
    digest.save(update_fields=["cause_at", "first_due_at", "ordinal", "key"])
    return digest


def _put(digest: Notification, found: list[Notification], why: str) -> Tally[str]:
    late = [row.pk for row in found if row.state == _State.LATE]
    others = [row.pk for row in found if row.state != _State.LATE]
    for pks, reason in ((late, "late"), (others, why)):
        if pks:
            Notification.objects.filter(pk__in=pks).update(
                state=_State.IN_DIGEST, digest=digest, reason=reason, claim="", claimed_until=None
            )
    return Tally({"late": len(late), why: len(others)})


def void(pks: Iterable[int], reason: str) -> None:
    """Set notifications to void, and the members of those that are digests with them."""
    pks = list(pks)
    if pks:
        Notification.objects.filter(digest__in=pks, state=_State.IN_DIGEST).update(state=_State.VOID, reason=reason)
        Notification.objects.filter(pk__in=pks).update(state=_State.VOID, reason=reason, claim="", claimed_until=None)


def _superseded(rows: QuerySet[Notification]) -> QuerySet[Notification]:
    """Return those whose identity has opened a later episode since they were owed."""
    opened = AlertTransition.objects.filter(
        identity=OuterRef("identity"),
        kind=AlertTransition.Kind.FIRING,
        alert__number__gt=OuterRef("alert__number"),
        at__gte=OuterRef("first_due_at"),
    )
    return rows.filter(Exists(opened))


def void_superseded(digest: Notification) -> int:
    """Make those members void whose episode is no longer the last; return how many are left."""
    members = digest.members.filter(state=_State.IN_DIGEST)
    void(_superseded(members).values_list("pk", flat=True), "superseded")
    return members.count()


def lock_identities(notification: Notification) -> list[str]:
    """Lock its identity, or those of a digest's members in key order as intake does, and return their fingerprints."""
    members = Notification.objects.filter(digest=notification.pk, state=_State.IN_DIGEST)
    found = {notification.identity_id} if notification.identity_id else set(members.values_list("identity", flat=True))
    rows = AlertIdentity.objects.select_for_update().filter(pk__in=sorted(found)).order_by("pk")
    return list(rows.values_list("pk", flat=True))


def settle(digest: Notification) -> None:
    """Let the members become what their digest has become: delivered, dead or void; nothing while it waits."""
    state = digest.state
    if digest.kind != _Kind.DIGEST or state not in (_State.DELIVERED, _State.DEAD, _State.VOID):
        return
    members = Notification.objects.filter(digest=digest.pk, state=_State.IN_DIGEST)
    if state == _State.DELIVERED:  # why they were told in a digest stays
        members.update(state=state, delivered_at=digest.delivered_at)
    else:
        members.update(state=state, reason=digest.reason)


def wake(channel: Channel) -> int:
    """Let the channel's digests that failed be tried at once: it takes messages again."""
    failed = Notification.objects.filter(due.tried(), channel=channel, state=_State.OWED, kind=_Kind.DIGEST)
    # one that was asked to wait keeps its word
    return failed.exclude(reason="rate_limited").update(due_at=F("first_due_at"))
