"""Which rows of the outbox may move now: to a relay, or into a digest. Conditions; used by `claims.py` and its neighbours.

Order is per identity and channel: nothing passes what waits before it, nor a digest that holds it and was not tried yet.
"""

from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from userdb.models import DeliveryAttempt, Notification

_State, _Outcome = Notification.State, DeliveryAttempt.Outcome


def forsaken(now: datetime) -> Q:
    """What a relay has claimed that died, or was paused past its lease."""
    return Q(state=_State.SENDING, claimed_until__lt=now)


def _earlier() -> QuerySet[Notification]:
    return Notification.objects.filter(
        identity=OuterRef("identity"), channel=OuterRef("channel"), pk__lt=OuterRef("pk")
    )


def ready(now: datetime) -> QuerySet[Notification]:
    """Return what may be claimed: due or forsaken, and nothing earlier of its identity and channel waits.

    A digest that has failed lets the next one pass: it is written anew at each try, and tells then what has come of it.
    """
    due = Q(state=_State.OWED, due_at__lte=now) | forsaken(now)
    untried = Q(state=_State.IN_DIGEST) & (Q(digest__reason="") | Q(digest__state=_State.SENDING))
    return Notification.objects.filter(due, ~Exists(_earlier().filter(Q(state__in=Notification.WAITING) | untried)))


def free(now: datetime) -> Q:
    """What may go into a digest: no quiet hours hold it, and nobody is sending it, or something earlier of its identity."""
    quiet = Q(state=_State.OWED, first_due_at__gt=now)
    under_way = Q(state=_State.SENDING, claimed_until__gte=now) | Q(
        state=_State.IN_DIGEST, digest__state=_State.SENDING
    )
    held = _earlier().filter(Q(state=_State.UNCONFIRMED) | quiet | under_way)
    waits = Q(state=_State.OWED, first_due_at__lte=now) | forsaken(now)
    return waits & ~Q(kind=Notification.Kind.DIGEST) & Q(~Exists(held))


def after_late() -> Q:
    """What follows something late of its identity that no digest has taken yet."""
    return Q(Exists(_earlier().filter(late())))


def late() -> Q:
    """What is late and in no digest yet."""
    return Q(state=_State.LATE, digest=None)


def tried() -> Q:
    """What was tried and failed, since a person sent it again or ever."""
    return Q(attempts__gt=F("attempts_before"))


def rests(channel: int, now: datetime) -> bool:
    """Return whether a destination that had too much has asked for a pause that is not over, whichever relay it told."""
    asked = Notification.objects.filter(channel=channel, state=_State.OWED, due_at__gt=now, reason="rate_limited")
    return asked.exists()


def mark_unknown(pks: list[int]) -> None:
    """Say of tries under way that whoever made them died or was paused past its lease: the message may have arrived."""
    if pks:
        tries = DeliveryAttempt.objects.filter(notification__in=pks, outcome=_Outcome.STARTED)
        tries.update(outcome=_Outcome.UNKNOWN)
