"""Who may send which notification: claims with a lease, and what is recorded of each try. Called by `relay.py`.

A claim is taken with a token; the token is checked and the lease renewed right before each send, in the transaction that
writes the attempt's row; a result is recorded only by the holder of the claim. So each message that may have gone out twice
is named by an attempt's row: `unknown`, or `after_lease`. Lock order: the identity first, then its notification; `take` and
`start` lock notifications alone and wait for no identity, so no circle of waiting can close.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from alert_bridge.channels.base import DeliveryError, PermanentError, Receipt, send_deadline
from alert_bridge.retry import next_try
from runtime.settings import env_number
from userdb import clock
from userdb.models import AlertIdentity, AlertTransition, Channel, DeliveryAttempt, Notification
from userdb.transactions import in_transaction

BATCH = 10
_ROWS = 100
"""The most rows that one transaction of the relay changes."""
_State, _Outcome = Notification.State, DeliveryAttempt.Outcome


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


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a result was recorded as."""

    state: str | None
    """The notification's new state; None: the claim was lost meanwhile, the attempt's row says so."""
    at: datetime
    """By userdb's clock."""


def _ready(now: datetime) -> QuerySet[Notification]:
    """Return what may be claimed: due or forsaken, and nothing earlier of its identity and channel waits."""
    due = Q(state=_State.OWED, due_at__lte=now) | Q(state=_State.SENDING, claimed_until__lt=now)
    earlier = Notification.objects.filter(
        identity=OuterRef("identity"),
        channel=OuterRef("channel"),
        pk__lt=OuterRef("pk"),
        state__in=Notification.WAITING,
    )
    return Notification.objects.filter(due, ~Exists(earlier))


def channels() -> list[tuple[Channel, bool]]:
    """Return the enabled channels, each with whether `take` would find something. Read without locks: it looks again."""
    waiting = Exists(_ready(clock.now()).filter(channel=OuterRef("pk")))
    return [(row, row.waits) for row in Channel.objects.filter(enabled=True).annotate(waits=waiting).order_by("pk")]


def take(channel: int, batch: int = BATCH) -> list[Claim]:
    """Claim up to `batch` due notifications of a channel, oldest first; what another relay is taking is passed over."""
    return in_transaction(lambda: _take(channel, batch))


def _take(channel: int, batch: int) -> list[Claim]:
    now = clock.now()
    rows = _ready(now).filter(channel=channel).order_by("pk")
    found = list(rows.select_for_update(skip_locked=True).only("pk", "state")[:batch])
    if not found:
        return []
    token, ids = secrets.token_hex(16), [row.pk for row in found]
    Notification.objects.filter(pk__in=ids).update(state=_State.SENDING, claim=token, claimed_until=now + lease())
    _mark_unknown([row.pk for row in found if row.state == _State.SENDING])
    return [Claim(pk, token) for pk in ids]


def _mark_unknown(forsaken: list[int]) -> None:
    """Say of tries under way that whoever made them died or was paused past its lease: the message may have arrived."""
    if forsaken:
        tries = DeliveryAttempt.objects.filter(notification__in=forsaken, outcome=_Outcome.STARTED)
        tries.update(outcome=_Outcome.UNKNOWN)


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
    if _superseded(notification):
        _finish(notification, _State.VOID, "superseded")
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
    notification.claimed_until = clock.now() + lease()
    notification.save(update_fields=["attempts", "claimed_until"])
    number = notification.attempts
    DeliveryAttempt.objects.create(notification=notification, number=number, relay=relay)
    return Start(claim, notification, number, firing_was_told)


def _finish(notification: Notification, state: str, reason: str = "") -> None:
    notification.state, notification.reason, notification.claim, notification.claimed_until = state, reason, "", None
    notification.save(update_fields=["state", "reason", "claim", "claimed_until", "due_at", "delivered_at"])


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
    AlertIdentity.objects.select_for_update().filter(pk=start.notification.identity_id).first()
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
        AlertIdentity.objects.filter(pk=notification.identity_id).update(last_told_at=now)
        return Recorded(str(notification.state), now)
    wait = None if isinstance(error, PermanentError) else next_try(notification.attempts, error.retry_after, chance)
    if wait is None:
        _finish(notification, _State.DEAD, error.reason)
    elif _superseded(notification):
        _finish(notification, _State.VOID, "superseded")
    else:
        notification.due_at = now + wait
        _finish(notification, _State.OWED, error.reason)
    return Recorded(str(notification.state), now)


def _superseded(notification: Notification) -> bool:
    """Return whether a later episode was opened since it was claimed: intake voids only what nobody has claimed."""
    opened = AlertTransition.objects.filter(identity=notification.identity_id, kind=AlertTransition.Kind.FIRING)
    return notification.alert is not None and opened.filter(alert__number__gt=notification.alert.number).exists()


def give_back(claims: list[Claim]) -> None:
    """Return claims that were not tried: another relay may take them at once."""
    ids, tokens = [c.notification for c in claims], {c.token for c in claims}
    rows = Notification.objects.filter(pk__in=ids, claim__in=tokens, state=_State.SENDING)
    in_transaction(lambda: rows.update(state=_State.OWED, claim="", claimed_until=None))


def void_of_disabled() -> int:
    """Set what waits for disabled channels to void and return how many that were, at most 100 a call.

    What another process is sending just now is its own to record; what it has forsaken is not.
    """
    forsaken = Q(state=_State.SENDING, claimed_until__lt=clock.now())
    waits = Q(state__in=(_State.UNCONFIRMED, _State.OWED)) | forsaken
    rows = Notification.objects.filter(waits, channel__enabled=False)
    if not rows.exists():
        return 0
    return in_transaction(lambda: _void(list(rows.order_by("pk").values_list("pk", "state")[:_ROWS]), waits))


def _void(found: list[tuple[int, str]], waits: Q) -> int:
    rows = Notification.objects.filter(waits, pk__in=[pk for pk, _ in found])
    _mark_unknown([pk for pk, state in found if state == _State.SENDING])
    return rows.update(state=_State.VOID, reason="channel_disabled", claim="", claimed_until=None)
