"""One webhook into userdb, in one transaction at most: raw body, episodes, transitions, and the notifications they owe.

In: the parsed webhook and its raw body, from `webhook.py`. Out: how many changes it brought, once committed.

It looks at userdb without a lock first. Words that change nothing then were heard at that moment, as if nobody else had been
there: they need no lock and no transaction, and most webhooks are only of such (the other peer's copy, repeats, neighbours).
The alerts that do change are locked, and what was seen of them must still hold; alerts that nobody knew are inserted as they
are after their words. Whoever was overtaken by somebody else begins anew. The number of statements is the same for 1 and
10,000 alerts: 4 when nothing changes, 7 when all are new; how alerts are locked, read and written stands in `ledgers.py`.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from prometheus_client import Counter

from alert_bridge import ledgers, statements
from alert_bridge.episodes import Identity
from alert_bridge.ledgers import Cause, Seen
from alert_bridge.outbox import Destination, Ledger
from alert_bridge.payload import AlertWord, Webhook
from userdb.models import AlertIdentity, AlertTransition, WebhookEvent
from userdb.router import alias
from userdb.transactions import Overtaken, rerunning

DEADLINE = 6.0
"""Seconds: Alertmanager hangs up after 10 and sends again beside the first."""
WATCHDOG = "Watchdog"
"""The alert that always fires (prometheus/rules): whoever misses it knows that the way from Prometheus to here is cut."""
ODD = Counter(
    "mission_webhook_odd_alerts_total", "Entries of webhooks that were set aside as odd; the raw body is kept."
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a webhook."""

    id: int
    changes: int
    notifications: int
    result: str


@dataclass(frozen=True, slots=True)
class _Raw:
    """The body as it came, packed by zlib, its size before that, and the address that posted it."""

    packed: bytes
    size: int
    sender: str


def take(webhook: Webhook, body: bytes, sender: str, deadline: float = DEADLINE) -> Taken:
    """Commit the webhook and all that follows from it; raise UserdbAway when userdb did not take it within `deadline`."""
    raw = _Raw(zlib.compress(body, 1), len(body), sender[:64])
    taken, changed = rerunning(lambda: _take(webhook, raw), deadline)
    ODD.inc(len(webhook.odd))
    ledgers.count(changed)
    return taken


def _take(webhook: Webhook, raw: _Raw) -> tuple[Taken, list[Ledger]]:
    """Look first, without a lock: what changes nothing was heard at that moment, and needs none."""
    now, destinations = ledgers.now_and_destinations()
    seen = {one.fingerprint: one for one in ledgers.glance(webhook.words)}
    still = _still(webhook.words, seen, destinations)
    moving = [word for word in webhook.words if word.fingerprint not in still]
    if not moving:
        _note_watchdog(webhook, now)
        return _store(webhook, raw, 0), []
    new = {word.fingerprint: word.labels for word in reversed(moving) if word.fingerprint not in seen}
    try:
        with transaction.atomic(using=alias()):
            changed = ledgers.lock([seen[name] for name in {word.fingerprint for word in moving} - new.keys()])
            changed |= {name: Ledger(Identity(name, labels=labels), now) for name, labels in new.items()}
            _apply(moving, changed, destinations)
            ledgers.introduce(changed[name] for name in new)
            _note_watchdog(webhook, now)
            taken = _store(webhook, raw, sum(len(ledger.identity.changes) for ledger in changed.values()))
            owed = ledgers.write(changed.values(), Cause(AlertTransition.Source.WEBHOOK, taken.id), new)
    except IntegrityError as error:  # of what was looked at, somebody else has written or deleted a row
        raise Overtaken(str(error)) from error
    return replace(taken, notifications=owed), list(changed.values())


def _still(words: list[AlertWord], seen: dict[str, Seen], destinations: list[Destination]) -> set[str]:
    """Return whose words change nothing of what was seen, and owe no repeat."""
    known = {name: one.ledger() for name, one in seen.items()}
    for word in words:
        if word.fingerprint in known:
            known[word.fingerprint].identity.apply(word)
    still = {name: ledger for name, ledger in known.items() if not ledger.moved}
    ledgers.hold(ledger for ledger in still.values() if ledger.identity.open)
    _apply((word for word in words if word.fingerprint in still), still, destinations)
    return {name for name, ledger in still.items() if not ledger.moved}


def _apply(words: Iterable[AlertWord], to: dict[str, Ledger], destinations: list[Destination]) -> None:
    for word in words:
        to[word.fingerprint].apply(word, destinations)


def _note_watchdog(webhook: Webhook, now: datetime) -> None:
    """Note when Watchdog was last heard firing, a repeat included: its absence is what the bridge's own watch tells."""
    heard = [word.fingerprint for word in webhook.words if word.firing and word.labels.get("alertname") == WATCHDOG]
    if heard:
        AlertIdentity.objects.filter(pk__in=heard).update(heard_at=now)


def result(webhook: Webhook, changes: int) -> str:
    """Return what the row says of a webhook that brought so many changes."""
    if webhook.error:
        return WebhookEvent.Result.UNREADABLE
    return WebhookEvent.Result.APPLIED if changes else WebhookEvent.Result.UNCHANGED


def set_aside(webhook: Webhook) -> list[dict[str, Any]]:
    """Return what the row says of entries that could not be applied."""
    return [{"index": odd.index, "reason": odd.reason} for odd in webhook.odd]


def _store(webhook: Webhook, raw: _Raw, changes: int) -> Taken:
    """Store the raw body."""
    became = result(webhook, changes)
    row = {
        "sender": raw.sender,
        "body": raw.packed,
        "body_bytes": raw.size,
        "receiver": webhook.receiver[:255],
        "group_key": webhook.group_key,
        "alerts": webhook.entries,
        "changes": changes,
        "odd": set_aside(webhook),
        "result": became,
        "error": webhook.error,
    }
    return Taken(statements.insert_webhook(row), changes, 0, became)
