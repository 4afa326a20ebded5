"""What may be deleted, class by class, and in which order: at most 100 rows a transaction. Called by `retention.py`.

In: a time; what is older goes. Out: how many rows went, transaction by transaction. A firing episode never goes, nor one of
which something is owed. Locks are taken in the order of everybody else: identity first, then what belongs to it. Killed
between two transactions, nothing is wrong, and the next run goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.apps import apps
from django.db.models import Exists, Model, OuterRef, QuerySet

from userdb import clock
from userdb.models import (
    Acknowledgement,
    Alert,
    AlertIdentity,
    AlertTransition,
    AuditEntry,
    ContainerUsage,
    DeliveryAttempt,
    MonitorEvent,
    Notification,
    RequestRollup,
    WebhookEvent,
)
from userdb.transactions import in_transaction

ROWS = 100
"""The most rows that one transaction deletes or changes: intake waits for no more than that."""
IDENTITY_STAYS = timedelta(days=30)
"""An identity outlives its last episode by this: an alert that returns goes on with its numbers and keys."""

_WAITING = Notification.objects.filter(alert=OuterRef("pk"), state__in=Notification.WAITING)
_UNSENT = Notification.objects.filter(pk=OuterRef("notification"), state__in=Notification.WAITING)


@dataclass(frozen=True, slots=True)
class Class:
    """One kind of rows that grow old."""

    name: str
    age: str
    """The class whose age it has (`retention.settings`); "" where it has none."""
    expired: Callable[[datetime], QuerySet[Model]]
    """The rows that may go, all of them: what a dry run counts."""
    delete: Callable[[datetime], Iterator[int]]
    """Yields the rows that each transaction deleted."""


def _simple(expired: Callable[[datetime], QuerySet[Model]]) -> Callable[[datetime], Iterator[int]]:
    """Return the deletion of rows that nothing refers to and nobody changes any more."""

    def delete(before: datetime) -> Iterator[int]:
        def work() -> int:
            rows = expired(before)
            ids = list(rows.values_list("pk", flat=True)[:ROWS])
            return _raw_delete(rows.model, ids)

        while gone := in_transaction(work):
            yield gone

    return delete


def _raw_delete(model: type[Model], ids: Sequence[object]) -> int:
    """Delete rows by their keys, without looking for what refers to them: that has gone before."""
    if not ids:
        return 0
    rows = model._default_manager.filter(pk__in=ids)
    return int(rows._raw_delete(rows.db))


def _older(
    model: type[Model], column: str, more: Callable[[QuerySet[Model]], QuerySet[Model]] = lambda rows: rows
) -> Callable[[datetime], QuerySet[Model]]:
    """Return the rows of a model by age, oldest first."""
    return lambda before: more(model._default_manager.filter(**{f"{column}__lt": before}).order_by(column, "pk"))


# webhooks


def _webhooks(before: datetime) -> QuerySet[Model]:
    return WebhookEvent.objects.filter(received_at__lt=before).order_by("received_at", "pk")


def _delete_webhooks(before: datetime) -> Iterator[int]:
    """Delete them, after what they brought has forgotten them: it stays."""
    while ids := list(_webhooks(before).values_list("pk", flat=True)[:ROWS]):
        for model, column in ((AlertTransition, "webhook"), (Alert, "first_webhook")):
            while in_transaction(partial(_forget, model, column, ids)):
                yield 0
        # what a replay has brought meanwhile is looked for once more
        yield in_transaction(partial(_delete_with_references, ids))


def _delete_with_references(ids: list[int]) -> int:
    return WebhookEvent.objects.filter(pk__in=ids).delete()[0]


def _forget(model: type[Model], column: str, webhooks: list[int]) -> int:
    rows = model._default_manager.filter(**{f"{column}__in": webhooks}).order_by("pk")
    found = dict(rows.values_list("pk", "identity")[:ROWS])
    _lock(set(found.values()))
    return model._default_manager.filter(pk__in=found).update(**{column: None})


def _lock(fingerprints: set[str]) -> None:
    rows = AlertIdentity.objects.select_for_update().filter(pk__in=fingerprints).order_by("pk")
    list(rows.values_list("pk"))


# episodes


def _episodes(before: datetime) -> QuerySet[Model]:
    """Return the episodes that ended long ago and of which nothing is owed."""
    return Alert.objects.filter(~Exists(_WAITING), state=Alert.State.RESOLVED, updated_at__lt=before).order_by("pk")


def _delete_episodes(before: datetime) -> Iterator[int]:
    """Delete them with their transitions, messages, tries and acknowledgements, in the order of their numbers."""
    last = 0
    while True:
        # an episode that was made since can't have ended before: what follows is not even looked at
        youngest = Alert.objects.filter(created_at__gte=before).order_by("pk").values_list("pk", flat=True).first()
        rows = _episodes(before).filter(pk__gt=last)
        rows = rows if youngest is None else rows.filter(pk__lt=youngest)
        ids = list(rows.values_list("pk", flat=True)[:ROWS])
        if not ids:
            return
        while gone := in_transaction(partial(_delete_of_episodes, ids, before)):
            yield gone
        last = ids[-1]


def _delete_of_episodes(ids: list[int], before: datetime) -> int:
    """Delete up to 100 rows of these episodes, what refers to others first."""
    _lock(set(Alert.objects.filter(pk__in=ids).values_list("identity", flat=True)))
    # under the locks: one may have returned meanwhile
    still = list(_episodes(before).filter(pk__in=ids).values_list("pk", flat=True))
    left = ROWS
    for rows in (
        DeliveryAttempt.objects.filter(notification__alert__in=still),
        Notification.objects.filter(alert__in=still),
        AlertTransition.objects.filter(alert__in=still),
        Acknowledgement.objects.filter(alert__in=still),
    ):
        left -= _raw_delete(rows.model, list(rows.order_by("pk").values_list("pk", flat=True)[:left]))
        if left <= 0:
            return ROWS
    return ROWS - left + _delete_episodes_alone(still[:left])


def _delete_episodes_alone(ids: list[int]) -> int:
    identities = set(Alert.objects.filter(pk__in=ids).values_list("identity", flat=True))
    gone = _raw_delete(Alert, ids)
    left = set(Alert.objects.filter(identity__in=identities).values_list("identity", flat=True))
    # from now on their time runs
    AlertIdentity.objects.filter(pk__in=identities - left).update(updated_at=clock.now())
    return gone


def _digests(before: datetime) -> QuerySet[Model]:
    """Return digests that were sent, or given up, long ago and whose members have gone."""
    members = Notification.objects.filter(digest=OuterRef("pk"))
    rows = Notification.objects.filter(~Exists(members), kind=Notification.Kind.DIGEST, created_at__lt=before)
    return rows.exclude(state__in=Notification.WAITING).order_by("pk")


def _delete_digests(before: datetime) -> Iterator[int]:
    def work() -> int:
        ids = list(_digests(before).values_list("pk", flat=True)[:ROWS])
        tries = DeliveryAttempt.objects.filter(notification__in=ids).order_by("pk")
        gone = _raw_delete(DeliveryAttempt, list(tries.values_list("pk", flat=True)[:ROWS]))
        return gone or _raw_delete(Notification, ids)

    while gone := in_transaction(work):
        yield gone


def _identities(before: datetime) -> QuerySet[Model]:
    """Return identities to which nothing refers any more, 30 days after the last that did was deleted."""
    rows = AlertIdentity.objects.filter(updated_at__lt=clock.now() - IDENTITY_STAYS).exclude(state="firing")
    for model in (Alert, AlertTransition, Notification):
        rows = rows.filter(~Exists(model._default_manager.filter(identity=OuterRef("pk"))))
    return rows.order_by("updated_at", "pk")


def _delete_identities(before: datetime) -> Iterator[int]:
    def work() -> int:
        found = sorted(_identities(before).values_list("pk", flat=True)[:ROWS])
        _lock(set(found))
        return _raw_delete(AlertIdentity, list(_identities(before).filter(pk__in=found).values_list("pk", flat=True)))

    while gone := in_transaction(work):
        yield gone


# tries of messages that stay


def _attempts(before: datetime) -> QuerySet[Model]:
    return DeliveryAttempt.objects.filter(~Exists(_UNSENT), started_at__lt=before).order_by("pk")


def _delete_attempts(before: datetime) -> Iterator[int]:
    """Delete them by their numbers, which grow with time: from the first that is younger on none is looked at."""
    youngest = (
        DeliveryAttempt.objects.filter(started_at__gte=before).order_by("pk").values_list("pk", flat=True).first()
    )

    def work() -> int:
        rows = _attempts(before) if youngest is None else _attempts(before).filter(pk__lt=youngest)
        return _raw_delete(DeliveryAttempt, list(rows.values_list("pk", flat=True)[:ROWS]))

    while gone := in_transaction(work):
        yield gone


# what is nobody's


def _sessions(before: datetime) -> QuerySet[Model]:
    sessions = apps.get_model("sessions", "Session")._default_manager
    rows: QuerySet[Model] = sessions.filter(expire_date__lt=clock.now()).order_by("expire_date")
    return rows


def _logins() -> list[Class]:
    """Return the record of failed logins, of which django-axes keeps these tables."""
    tables = {
        "AccessAttemptExpiration": "access_attempt__attempt_time",
        "AccessAttempt": "attempt_time",
        "AccessFailureLog": "attempt_time",
        "AccessLog": "attempt_time",
    }
    return [_of("logins", "logins", _older(apps.get_model("axes", name), column)) for name, column in tables.items()]


def _of(name: str, age: str, expired: Callable[[datetime], QuerySet[Model]]) -> Class:
    return Class(name, age, expired, _simple(expired))


def classes() -> list[Class]:
    """Return all of them, in the order in which they are deleted."""
    return [
        Class("webhooks", "webhooks", _webhooks, _delete_webhooks),
        Class("attempts", "attempts", _attempts, _delete_attempts),
        Class("alerts", "alerts", _episodes, _delete_episodes),
        Class("digests", "alerts", _digests, _delete_digests),
        Class("identities", "", _identities, _delete_identities),
        _of("events", "events", _older(MonitorEvent, "received_at")),
        _of("minutes", "minutes", _older(RequestRollup, "minute")),
        _of("minutes", "minutes", _older(ContainerUsage, "minute")),
        _of("audit", "audit", _older(AuditEntry, "at")),
        *_logins(),
        _of("sessions", "", _sessions),
    ]
