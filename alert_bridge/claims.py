"""Who may send which notification: claims with a lease, and what is recorded of each try. Called by `relay.py`.

A claim is taken with a token; the token is checked and the lease renewed right before each send, in the transaction that
writes the attempt's row; a result is recorded only by the holder of the claim. So each message that may have gone out twice
is named by an attempt's row: `unknown`, or `after_lease`. What may move at all stands in `due.py`, how much of it in `pace.py`,
what is told in one message instead of many in `digests.py`. Lock order: the identity first, then its notification; `take`
locks a channel, then notifications, `start` notifications alone, and neither waits for an identity, so no circle of waiting
can close.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from alert_bridge import digest_contents, digests, due, lateness, pace
from alert_bridge.channels.base import DeliveryError, PermanentError, Receipt, send_deadline
from alert_bridge.digest_contents import Contents
from alert_bridge.digests import Gathered
from alert_bridge.retry import next_try
from runtime.settings import env_number
from userdb import clock
from userdb.models import AlertIdentity, AlertTransition, Channel, DeliveryAttempt, Notification
from userdb.transactions import in_transaction

BATCH = 10
_ROWS = 100
"""The most rows that one transaction of the relay changes."""
_Kind, _State, _Outcome = Notification.Kind, Notification.State, DeliveryAttempt.Outcome


def lease() -> timedelta:
    """Return how long a claim holds (RELAY_LEASE, seconds): four times the deadline of a send, three times at least."""
    deadline = send_deadline()
    return timedelta(seconds=env_number("RELAY_LEASE", 4 * deadline, 3 * deadline, 3600.0))


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one notification."""

    notification: int
    token: str


@dataclass(frozen=True, slots=True)
class Start:
    """A try that may go out now."""

    claim: Claim
    notification: Notification
    attempt: int
    firing_was_told: bool
    carries_end: bool = False
    """A firing whose episode is over, and no message of its end comes after it."""
    contents: Contents | None = None
    """What a digest tells."""

    @property
    def counts_from(self) -> list[datetime]:
        """When each thing that it tells could first have been told: its cause, quiet hours left out."""
        row = self.notification
        if self.contents is not None:
            return [member.counts_from for member in self.contents.members]
        return [row.cause_at + (row.first_due_at - row.created_at)]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a result was recorded as."""

    state: str | None
    """The notification's new state; None: the claim was lost meanwhile, the attempt's row says so."""
    at: datetime
    """By userdb's clock."""


def channels() -> list[tuple[Channel, bool]]:
    """Return the enabled channels, each with whether `take` might find something. Read without locks: it looks again."""
    of_channel = Notification.objects.filter(channel=OuterRef("pk"))
    waiting = Exists(due.ready(clock.now()).filter(channel=OuterRef("pk"))) | Exists(of_channel.filter(due.late()))
    return [(row, row.waits) for row in Channel.objects.filter(enabled=True).annotate(waits=waiting).order_by("pk")]


def mark_late(channel: int) -> int:
    """Set what the channel could not be told in time to late and return how many that were."""
    total = 0
    while marked := in_transaction(lambda: lateness.mark(Channel.objects.get(pk=channel), clock.now())):
        total += marked
    return total


def take(channel: int, batch: int = BATCH) -> list[Claim]:
    """Claim up to `batch` due notifications of a channel, oldest first; what another relay is taking is passed over.

    Over the channel's limit, or when something is late, a digest is made and claimed instead of what goes into it.
    """
    row = Channel.objects.get(pk=channel)
    claims, gathered = in_transaction(lambda: _take(row, batch))
    if gathered is not None:
        gathered.count(row.name)
    return claims


def _take(channel: Channel, batch: int) -> tuple[list[Claim], Gathered | None]:
    now = clock.now()
    if due.rests(channel.pk, now):
        return [], None
    most = pace.limit(channel)
    left = None if most is None else pace.left(_locked(channel).pk, most, now)
    if left == 0:
        return [], None
    rows = due.ready(now).filter(~lateness.overdue(channel, now), channel=channel.pk)
    if left is not None and rows[: left + 1].count() > left:
        return _over_limit(channel, rows, left, now)
    gathered = None
    if digests.wanted(channel, now):
        gathered = digests.gather(_locked(channel), now, everything=False)
        held = _digest_after_another(rows, gathered, left, now)
        if held:
            return held, gathered
    return _claim(rows, batch if left is None else min(batch, left), now), gathered


def _digest_after_another(
    rows: QuerySet[Notification], gathered: Gathered | None, left: int | None, now: datetime
) -> list[Claim]:
    """Claim the digest, if it is due; before one that failed, one message that was not tried yet.

    If that one fails too it may go into the digest; if it arrives, it is the digest that was refused, and nobody is mute.
    """
    if gathered is None or not rows.filter(pk=gathered.digest.pk).exists():
        return []
    others = rows.exclude(kind=_Kind.DIGEST).filter(~due.tried())
    failed = gathered.digest.attempts > gathered.digest.attempts_before
    probe = _claim(others, 1, now) if failed and (left is None or left > 1) else []
    return probe + _claim(rows.filter(pk=gathered.digest.pk), 1, now)


def _locked(channel: Channel) -> Channel:
    """Lock the channel's row: no other relay counts or gathers at the same time."""
    return Channel.objects.select_for_update().get(pk=channel.pk)


def _over_limit(
    channel: Channel, rows: QuerySet[Notification], left: int, now: datetime
) -> tuple[list[Claim], Gathered | None]:
    """Claim critical alerts alone, as far as there is room beside a digest, and the digest of all else.

    All else goes in, also what would have found room: a flood is read better in one message, and what comes next within
    the minute finds room. A critical alert is the one that somebody may have to get up for: it has a message of its own.
    """
    urgent = rows.filter(identity__severity="critical", kind__in=(_Kind.FIRING, _Kind.REFIRED))
    held = _claim(urgent, left - 1, now)
    if digests.too_soon(channel, now):
        return held, None
    gathered = digests.gather(channel, now, everything=True)
    rest = rows if gathered is None else rows.filter(pk=gathered.digest.pk)
    return held + _claim(rest, 1, now), gathered


def _claim(rows: QuerySet[Notification], batch: int, now: datetime) -> list[Claim]:
    found = list(rows.order_by("pk").select_for_update(skip_locked=True).only("pk", "state")[:batch]) if batch else []
    if not found:
        return []
    token, ids = secrets.token_hex(16), [row.pk for row in found]
    Notification.objects.filter(pk__in=ids).update(state=_State.SENDING, claim=token, claimed_until=now + lease())
    due.mark_unknown([row.pk for row in found if row.state == _State.SENDING])
    return [Claim(pk, token) for pk in ids]


def start(claim: Claim, relay: str) -> Start | None:
    """Renew the claim and write the attempt's row; None when the claim is lost, or nothing is to be sent any more."""
    return in_transaction(lambda: _start(claim, relay))


def _held(claim: Claim) -> Notification | None:
    rows = Notification.objects.select_for_update().filter(
        pk=claim.notification, claim=claim.token, state=_State.SENDING
    )
    return rows.first()


def _start(claim: Claim, relay: str) -> Start | None:
    held = _held(claim)
    if held is None:
        return None
    # read apart from the lock, which would spread over the joined rows; all that a message needs, so that nothing is
    # asked of userdb between the claim's renewal and the send
    notification = Notification.objects.select_related("channel", "alert__identity").get(pk=held.pk)
    if not notification.channel.enabled:
        _finish(notification, _State.VOID, "channel_disabled")
        return None
    why_not, firing_was_told = _pointless(notification)
    if why_not:
        _finish(notification, _State.VOID, why_not)
        return None
    contents = digest_contents.read(notification) if notification.kind == _Kind.DIGEST else None
    carries_end = _carries_end(notification)
    notification.attempts += 1
    notification.claimed_until = clock.now() + lease()
    notification.save(update_fields=["attempts", "claimed_until"])
    number = notification.attempts
    DeliveryAttempt.objects.create(notification=notification, number=number, relay=relay)
    return Start(claim, notification, number, firing_was_told, carries_end, contents)


def _pointless(notification: Notification) -> tuple[str, bool]:
    """Return why there is nothing to send any more, "" when there is, and whether the episode's firing was told."""
    if notification.kind == _Kind.DIGEST:
        return "" if digests.void_superseded(notification) else "superseded", True
    if _superseded(notification):
        return "superseded", True
    if notification.kind != _Kind.RESOLVED:
        return "", True
    rows = Notification.objects.filter(
        alert=notification.alert_id, channel=notification.channel_id, state=_State.DELIVERED
    )
    told = rows.exclude(kind=_Kind.RESOLVED).exists()
    return "" if told or notification.channel.resolved_without_firing else "firing_not_delivered", told


def _carries_end(notification: Notification) -> bool:
    """Return whether it is a firing of an episode that is over, and nothing that waits says so: told late, or by hand."""
    if notification.alert is None or notification.kind == _Kind.RESOLVED or notification.alert.state == "firing":
        return False
    ends = Notification.objects.filter(
        alert=notification.alert_id, channel=notification.channel_id, kind=_Kind.RESOLVED
    )
    return not ends.filter(state__in=Notification.WAITING).exists()


def _finish(notification: Notification, state: str, reason: str = "") -> None:
    notification.state, notification.reason, notification.claim, notification.claimed_until = state, reason, "", None
    notification.save(update_fields=["state", "reason", "claim", "claimed_until", "due_at", "delivered_at"])
    digests.settle(notification)


def delivered(start: Start, receipt: Receipt, milliseconds: int) -> Recorded:
    """Record that the destination took it. Called again after a lost answer of userdb it changes nothing."""
    outcome = {"outcome": _Outcome.DELIVERED, "status": receipt.status[:32], "answer": receipt.answer}
    return in_transaction(lambda: _record(start, outcome, milliseconds, None, 0.0))


def failed(start: Start, error: DeliveryError, milliseconds: int, chance: float) -> Recorded:
    """Record a failed try. Called again after a lost answer of userdb it changes nothing."""
    outcome = {
        "outcome": _Outcome.PERMANENT if isinstance(error, PermanentError) else _Outcome.TEMPORARY,
        "reason": error.reason,
        "status": error.status[:32],
        "answer": error.answer,
    }
    return in_transaction(lambda: _record(start, outcome, milliseconds, error, chance))


def _record(
    start: Start, outcome: dict[str, str], milliseconds: int, error: DeliveryError | None, chance: float
) -> Recorded:
    # lock order everywhere: the identity first, then its notifications
    told = digests.lock_identities(start.notification)
    notification = _held(start.claim)
    now = clock.now()
    tries = DeliveryAttempt.objects.filter(notification=start.claim.notification, number=start.attempt)
    # a try that has its outcome was recorded by ourselves: the commit arrived, its answer did not
    unfinished = tries.filter(outcome__in=(_Outcome.STARTED, _Outcome.UNKNOWN))
    if not unfinished.update(milliseconds=milliseconds, after_lease=notification is None, **outcome):
        rows = Notification.objects.filter(pk=start.claim.notification)
        return Recorded(rows.values_list("state", flat=True).first(), now)
    if notification is None:
        return Recorded(None, now)
    if error is None:
        notification.delivered_at = now
        _finish(notification, _State.DELIVERED)
        AlertIdentity.objects.filter(pk__in=told).update(last_told_at=now)
        return Recorded(str(notification.state), now)
    wait = None if isinstance(error, PermanentError) else _next_try(notification, error.retry_after, chance)
    if wait is None:
        _finish(notification, _State.DEAD, error.reason)
    elif _superseded(notification):
        _finish(notification, _State.VOID, "superseded")
    else:
        notification.due_at = now + wait
        _finish(notification, _State.OWED, error.reason)
    return Recorded(str(notification.state), now)


def _next_try(notification: Notification, retry_after: float | None, chance: float) -> timedelta | None:
    tries = notification.attempts - notification.attempts_before
    return next_try(tries, retry_after, chance, notification.kind == _Kind.DIGEST)


def _superseded(notification: Notification) -> bool:
    """Return whether a later episode was opened since it was owed: intake voids only what nobody has claimed.

    One that a person sent again is owed since then: an episode that was opened before makes it no less wanted. Neither does
    one that reconciliation found: nothing is owed of it yet, and what was last told of the alert would stand for ever.
    """
    opened = AlertTransition.objects.filter(
        identity=notification.identity_id, kind=AlertTransition.Kind.FIRING, at__gte=notification.first_due_at
    )
    opened = opened.exclude(source=AlertTransition.Source.RECONCILIATION)
    return notification.alert is not None and opened.filter(alert__number__gt=notification.alert.number).exists()


def give_back(claims: list[Claim]) -> None:
    """Return claims that were not tried: another relay may take them at once."""
    ids, tokens = [c.notification for c in claims], {c.token for c in claims}
    rows = Notification.objects.filter(pk__in=ids, claim__in=tokens, state=_State.SENDING)
    in_transaction(lambda: rows.update(state=_State.OWED, claim="", claimed_until=None))


def wake(channel: Channel) -> None:
    """Let the channel's digests that failed be tried now: it has just taken something."""
    in_transaction(lambda: digests.wake(channel))


def void_of_disabled() -> int:
    """Set what waits for disabled channels to void and return how many that were, at most 100 a call.

    What another process is sending just now is its own to record; what it has forsaken is not.
    """
    waits = Q(state__in=(_State.UNCONFIRMED, _State.OWED)) | due.late() | due.forsaken(clock.now())
    rows = Notification.objects.filter(waits, channel__enabled=False)
    if not rows.exists():
        return 0
    found = list(rows.order_by("pk").values_list("pk", flat=True)[:_ROWS])
    return in_transaction(lambda: _void(Notification.objects.filter(waits, pk__in=found)))


def _void(rows: QuerySet[Notification]) -> int:
    found = list(rows.order_by("pk").select_for_update().only("pk", "state"))
    due.mark_unknown([row.pk for row in found if row.state == _State.SENDING])
    digests.void([row.pk for row in found], "channel_disabled")
    return len(found)
