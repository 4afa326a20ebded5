"""Who may send which notification: claims with a lease, and what is recorded of each try. Called by `relay.py`.

A claim is taken with a token; the token is checked and the lease renewed right before each send, in the transaction that
writes the attempt's row; a result is recorded only by the holder of the claim. So each message that may have gone out twice
is named by an attempt's row: `unknown`, or `after_lease`. Lock order: the identity first, then its notification.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, OuterRef, Q

from alert_bridge.channels.base import SEND_DEADLINE, DeliveryError, PermanentError, Receipt
from alert_bridge.retry import next_try
from userdb import clock
from userdb.models import AlertIdentity, Channel, DeliveryAttempt, Notification
from userdb.transactions import in_transaction

LEASE = timedelta(seconds=4 * SEND_DEADLINE)
"""At least three times the total deadline of a send (DESIGN 4.2)."""

BATCH = 10
_State, _Outcome = Notification.State, DeliveryAttempt.Outcome


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


def take(channel: int, batch: int = BATCH) -> list[Claim]:
    """Claim up to `batch` due notifications of a channel, oldest first; what another relay is taking is passed over."""
    return in_transaction(lambda: _take(channel, batch))


def _take(channel: int, batch: int) -> list[Claim]:
    now = clock.now()
    due = Q(state=_State.OWED, due_at__lte=now) | Q(state=_State.SENDING, claimed_until__lt=now)
    earlier = Notification.objects.filter(
        identity=OuterRef("identity"),
        channel=OuterRef("channel"),
        pk__lt=OuterRef("pk"),
        state__in=Notification.WAITING,
    )
    rows = Notification.objects.filter(due, ~Exists(earlier), channel=channel).order_by("pk")
    found = list(rows.select_for_update(skip_locked=True).only("pk", "state")[:batch])
    if not found:
        return []
    token, ids = secrets.token_hex(16), [row.pk for row in found]
    Notification.objects.filter(pk__in=ids).update(state=_State.SENDING, claim=token, claimed_until=now + LEASE)
    forsaken = [row.pk for row in found if row.state == _State.SENDING]
    if forsaken:
        # whoever held it died or was paused past its lease: its message may have arrived
        tries = DeliveryAttempt.objects.filter(notification__in=forsaken, outcome=_Outcome.STARTED)
        tries.update(outcome=_Outcome.UNKNOWN)
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
    notification = _held(claim)
    if notification is None:
        return None
    firing_was_told = True
    if notification.kind == Notification.Kind.RESOLVED:
        told = Notification.objects.filter(
            alert=notification.alert_id, channel=notification.channel_id, state=_State.DELIVERED
        )
        firing_was_told = told.exclude(kind=Notification.Kind.RESOLVED).exists()
        if not firing_was_told and not notification.channel.resolved_without_firing:
            _finish(notification, _State.VOID, "firing_not_delivered")
            return None
    notification.attempts += 1
    notification.claimed_until = clock.now() + LEASE
    notification.save(update_fields=["attempts", "claimed_until"])
    number = notification.attempts
    DeliveryAttempt.objects.create(notification=notification, number=number, relay=relay)
    return Start(claim, notification, number, firing_was_told)


def _finish(notification: Notification, state: str, reason: str = "") -> None:
    notification.state, notification.reason, notification.claim, notification.claimed_until = state, reason, "", None
    notification.save(update_fields=["state", "reason", "claim", "claimed_until", "due_at", "delivered_at"])


def delivered(start: Start, receipt: Receipt, milliseconds: int) -> bool:
    """Record that the destination took it; False when the claim was lost meanwhile (the attempt's row says so)."""
    outcome = {"outcome": _Outcome.DELIVERED, "status": receipt.status[:32], "answer": receipt.answer}
    return in_transaction(lambda: _record(start, outcome, milliseconds, None, 0.0) is not None)


def failed(start: Start, error: DeliveryError, milliseconds: int, chance: float) -> str | None:
    """Record a failed try; return the notification's new state, None when the claim was lost meanwhile."""
    outcome = {
        "outcome": _Outcome.PERMANENT if isinstance(error, PermanentError) else _Outcome.TEMPORARY,
        "reason": error.reason,
        "status": error.status[:32],
        "answer": error.answer,
    }
    return in_transaction(lambda: _record(start, outcome, milliseconds, error, chance))


def _record(
    start: Start, outcome: dict[str, str], milliseconds: int, error: DeliveryError | None, chance: float
) -> str | None:
    # lock order everywhere: the identity first, then its notifications
    AlertIdentity.objects.select_for_update().filter(pk=start.notification.identity_id).first()
    notification = _held(start.claim)
    DeliveryAttempt.objects.filter(notification=start.claim.notification, number=start.attempt).update(
        milliseconds=milliseconds, after_lease=notification is None, **outcome
    )
    if notification is None:
        return None
    now = clock.now()
    if error is None:
        notification.delivered_at = now
        _finish(notification, _State.DELIVERED)
        AlertIdentity.objects.filter(pk=notification.identity_id).update(last_told_at=now)
        return str(notification.state)
    wait = None if isinstance(error, PermanentError) else next_try(notification.attempts, error.retry_after, chance)
    if wait is None:
        _finish(notification, _State.DEAD, error.reason)
    elif _superseded(notification):
        _finish(notification, _State.VOID, "superseded")
    else:
        notification.due_at = now + wait
        _finish(notification, _State.OWED, error.reason)
    return str(notification.state)


def _superseded(notification: Notification) -> bool:
    """Return whether a later episode was opened while it was being sent: intake voids only what nobody is sending."""
    later = Notification.objects.filter(
        identity=notification.identity_id, channel=notification.channel_id, pk__gt=notification.pk
    )
    return later.filter(kind=Notification.Kind.FIRING).exclude(alert=notification.alert_id).exists()


def give_back(claims: list[Claim]) -> None:
    """Return claims that were not tried: another relay may take them at once."""
    ids, tokens = [c.notification for c in claims], {c.token for c in claims}
    rows = Notification.objects.filter(pk__in=ids, claim__in=tokens, state=_State.SENDING)
    in_transaction(lambda: rows.update(state=_State.OWED, claim="", claimed_until=None))


def void_of_disabled() -> int:
    """Set what is owed to disabled channels to void and return how many that were."""
    if not Notification.objects.filter(channel__enabled=False, state=_State.OWED).exists():
        return 0
    disabled = list(Channel.objects.filter(enabled=False).values_list("pk", flat=True))
    rows = Notification.objects.filter(channel__in=disabled, state=_State.OWED)
    return in_transaction(lambda: rows.update(state=_State.VOID, reason="channel_disabled"))
