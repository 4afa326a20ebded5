"""Applies stored webhooks again: those that were never applied, the alerts set aside as odd, or everything.

In: rows of WebhookEvent, from the command (`replay_command.py`) or the admin's action. Out: one `Outcome` a webhook, in the
order of their ids. The way is that of intake, `payload` -> `ledgers`, one transaction a webhook, so that a replay that is
killed goes on where it was when it is started again.

An old word never overrules a newer one: what has been heard of an alert since its webhook came is left alone. So a replay
of what was applied, or a second replay, changes nothing, and only what is young enough to be news owes a message.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from alert_bridge import intake, ledgers, payload, statements
from alert_bridge.episodes import Identity
from alert_bridge.ledgers import Cause
from alert_bridge.outbox import Destination, Ledger
from alert_bridge.payload import AlertWord, Webhook
from userdb import clock
from userdb.fields import UtcNow
from userdb.models import AlertTransition, Channel, WebhookEvent
from userdb.rowsets import utc
from userdb.transactions import in_transaction

PAGE = 100
"""Ids read at once; bodies, of up to 32 MB, are read one by one."""
LATE = timedelta(hours=1)
"""For a channel that takes messages of any age: what a replay brings up is never news for longer than this."""

NEVER_APPLIED = Q(result=WebhookEvent.Result.UNREADABLE) | ~Q(odd=[])
"""Webhooks that hold something which was not applied when they came."""


@dataclass(frozen=True, slots=True)
class Brought:
    """One change that a webhook brings."""

    fingerprint: str
    alertname: str
    kind: str
    """One of AlertTransition.Kind."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message that it owes."""

    fingerprint: str
    channel: int
    kind: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became, or would become, of one webhook."""

    id: int
    received_at: datetime
    changes: list[Brought] = field(default_factory=list)
    owed: list[Told] = field(default_factory=list)
    older: int = 0
    """Entries left alone: something newer is known of their alert."""
    odd: list[str] = field(default_factory=list)
    """Why entries are still set aside."""
    error: str = ""
    """Why nothing of it can be applied even now; "" when it can."""


@dataclass(slots=True)
class _Heard:
    """What was heard of one alert last."""

    webhook: int = 0
    otherwise_at: datetime | None = None

    def since(self, row: WebhookEvent) -> bool:
        """Say whether it came after this webhook, or with it."""
        return self.webhook >= row.pk or (self.otherwise_at is not None and self.otherwise_at > row.received_at)


class _Userdb:
    """What userdb knows of the alerts of one webhook, under their locks, and the writing of what the webhook changes."""

    def __init__(self) -> None:
        self.written: list[Ledger] = []

    def know(self, words: Sequence[AlertWord]) -> tuple[dict[str, Ledger], dict[str, _Heard]]:
        found = ledgers.read(words)
        known = {word.fingerprint: found[word.fingerprint] for word in words}
        return known, _heard(known)

    def keep(self, row: WebhookEvent, webhook: Webhook, known: dict[str, Ledger]) -> None:
        self.written = list(known.values())
        ledgers.write(self.written, Cause(AlertTransition.Source.REPLAY, row.pk, row.received_at))
        brought = AlertTransition.objects.filter(webhook=row.pk).count()
        changes = max(row.changes, brought)  # retention may have deleted some of them
        now = {
            "alerts": webhook.entries,
            "changes": changes,
            "odd": intake.set_aside(webhook),
            "result": intake.result(webhook, changes),
            "error": webhook.error,
        }
        if any(getattr(row, name) != value for name, value in now.items()):
            WebhookEvent.objects.filter(pk=row.pk).update(**now, replayed_at=UtcNow())


class _Rehearsal:
    """The same in memory: what userdb knew, and what the webhooks so far would have made of it."""

    def __init__(self) -> None:
        self._known: dict[str, Ledger] = {}
        self._heard: dict[str, _Heard] = {}

    def know(self, words: Sequence[AlertWord]) -> tuple[dict[str, Ledger], dict[str, _Heard]]:
        now, found = clock.now(), ledgers.look(words)
        new = {word.fingerprint for word in words} - self._known.keys()
        self._heard |= _heard(new)
        for word in words:
            fingerprint = word.fingerprint
            ledger = found.get(fingerprint) or Ledger(Identity(fingerprint, labels=word.labels), now)
            kept = self._known.setdefault(fingerprint, ledger)
            # another word may mean another of the earlier episodes
            kept.identity.earlier |= ledger.identity.earlier
        return {word.fingerprint: self._known[word.fingerprint] for word in words}, self._heard

    def keep(self, row: WebhookEvent, webhook: Webhook, known: dict[str, Ledger]) -> None:
        for fingerprint, ledger in known.items():
            if ledger.identity.changes:
                heard = self._heard.setdefault(fingerprint, _Heard())
                heard.webhook = max(heard.webhook, row.pk)
            # what was read is as it would be after a commit: changed, with nothing left to be written
            ledger.identity.changes, ledger.owed, ledger.opened = [], [], None


def run(rows: QuerySet[WebhookEvent], everything: bool = False, dry_run: bool = False) -> Iterator[Outcome]:
    """Yield what each of `rows` came to, oldest first; work is done only as far as the iterator is read.

    `everything`: also what was applied when it came, for a userdb that was emptied or restored. `dry_run`: write nothing,
    yield what a replay would do now; it keeps what it learns of each alert in memory. Raises UserdbAway or a database's
    error when userdb is away; what was yielded before that is committed, and the rest can be run again.
    """
    rehearsal = _Rehearsal() if dry_run else None
    wanted = rows if everything else rows.filter(NEVER_APPLIED)
    last = 0
    while ids := list(wanted.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:PAGE]):
        for last in ids:
            outcome = _again(last, everything, rehearsal) if rehearsal else _commit(last, everything)
            if outcome is not None:
                yield outcome


def _commit(number: int, everything: bool) -> Outcome | None:
    def work() -> tuple[list[Ledger], Outcome | None]:
        userdb = _Userdb()
        outcome = _again(number, everything, userdb)
        return userdb.written, outcome

    written, outcome = in_transaction(work, deadline=60.0)
    ledgers.count(written)
    return outcome


def _again(number: int, everything: bool, place: _Userdb | _Rehearsal) -> Outcome | None:
    """Apply one webhook; None where retention was faster."""
    row = WebhookEvent.objects.filter(pk=number).first()
    if row is None:
        return None
    webhook = _parse(row)
    if webhook.error:
        return Outcome(row.pk, row.received_at, error=webhook.error)
    words = _words(row, webhook, everything)
    known, heard = place.know(words)
    newer = {fingerprint for fingerprint in known if fingerprint in heard and heard[fingerprint].since(row)}
    fresh = [word for word in words if word.fingerprint not in newer]
    destinations = _listeners(row.received_at) if fresh else []
    for word in fresh:
        known[word.fingerprint].apply(word, destinations)
    outcome = Outcome(
        row.pk, row.received_at, _brought(known), _told(known), len(words) - len(fresh), [odd.reason for odd in webhook.odd]
    )  # fmt: skip
    place.keep(row, webhook, known)
    return outcome


def _brought(known: dict[str, Ledger]) -> list[Brought]:
    return [
        Brought(fingerprint, ledger.identity.labels.get("alertname", ""), change.kind)
        for fingerprint, ledger in known.items()
        for change in ledger.identity.changes
    ]


def _told(known: dict[str, Ledger]) -> list[Told]:
    return [Told(fingerprint, owed.channel, owed.kind) for fingerprint, ledger in known.items() for owed in ledger.owed]


def _parse(row: WebhookEvent) -> Webhook:
    """Return what a stored body says. One that can't be unpacked or read is an error of its own, not the others'."""
    try:
        return payload.parse(zlib.decompress(row.body))
    except zlib.error as error:
        return Webhook(error=f"the stored body can't be unpacked: {error}")
    except payload.UnreadableBody as error:
        return Webhook(error=str(error))


def _words(row: WebhookEvent, webhook: Webhook, everything: bool) -> list[AlertWord]:
    """Return the words that are to be applied: all of them, or those of entries that were set aside."""
    if everything or row.result == WebhookEvent.Result.UNREADABLE:
        return webhook.words
    aside = {entry["index"] for entry in row.odd}
    still = {odd.index for odd in webhook.odd}
    readable = (index for index in range(webhook.entries) if index not in still)
    return [word for index, word in zip(readable, webhook.words, strict=True) if index in aside]


def _heard(fingerprints: Iterable[str]) -> dict[str, _Heard]:
    rows = statements.HEARD.run((fingerprint,) for fingerprint in fingerprints)
    return {fingerprint: _Heard(webhook or 0, utc(at)) for fingerprint, webhook, at in rows}


def _listeners(received_at: datetime) -> list[Destination]:
    """Return the channels for which what was received then is still news. It is no repeat for any of them."""
    age = clock.now() - received_at
    limits = dict(Channel.objects.filter(enabled=True).values_list("pk", "late_after"))
    if all(age >= (limit or LATE) for limit in limits.values()):
        return []
    found = [channel for channel in ledgers.destinations() if age < (limits.get(channel.id) or LATE)]
    return [replace(channel, repeat_after=None) for channel in found]
