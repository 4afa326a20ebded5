"""One webhook into userdb, in one transaction: raw body, episodes, transitions, and the notifications they owe.

In: the parsed webhook and its raw body, from `webhook.py`. Out: how many changes it brought, once committed. At most 11
statements between the transaction's begin and end, 12 when Watchdog is among them, whatever the number of alerts; how alerts
are locked, read and written stands in `ledgers.py`.
"""

import zlib
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter

from alert_bridge import ledgers, statements
from alert_bridge.ledgers import Cause
from alert_bridge.outbox import Ledger
from alert_bridge.payload import Webhook
from userdb.models import AlertIdentity, AlertTransition, WebhookEvent
from userdb.transactions import in_transaction

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


def take(webhook: Webhook, body: bytes, sender: str, deadline: float = DEADLINE) -> Taken:
    """Commit the webhook and all that follows from it; raise UserdbAway when userdb did not take it within `deadline`."""
    packed = zlib.compress(body, 1)
    taken, changed = in_transaction(lambda: _apply(webhook, packed, len(body), sender), deadline)
    ODD.inc(len(webhook.odd))
    ledgers.count(changed)
    return taken


def _apply(webhook: Webhook, packed: bytes, size: int, sender: str) -> tuple[Taken, list[Ledger]]:
    known = ledgers.read(webhook.words)
    destinations = ledgers.destinations() if known else []
    for word in webhook.words:
        known[word.fingerprint].apply(word, destinations)
    _note_watchdog(webhook, known)
    changed = list(known.values())
    changes = sum(len(ledger.identity.changes) for ledger in changed)
    number, became = _store(webhook, packed, size, sender, changes)
    notifications = ledgers.write(changed, Cause(AlertTransition.Source.WEBHOOK, number))
    return Taken(number, changes, notifications, became), changed


def _note_watchdog(webhook: Webhook, known: dict[str, Ledger]) -> None:
    """Note when Watchdog was last heard firing, a repeat included: its absence is what the bridge's own watch tells."""
    heard = [word.fingerprint for word in webhook.words if word.firing and word.labels.get("alertname") == WATCHDOG]
    if heard:
        AlertIdentity.objects.filter(pk__in=heard).update(heard_at=known[heard[0]].now)


def result(webhook: Webhook, changes: int) -> str:
    """Return what the row says of a webhook that brought so many changes."""
    if webhook.error:
        return WebhookEvent.Result.UNREADABLE
    return WebhookEvent.Result.APPLIED if changes else WebhookEvent.Result.UNCHANGED


def set_aside(webhook: Webhook) -> list[dict[str, Any]]:
    """Return what the row says of entries that could not be applied."""
    return [{"index": odd.index, "reason": odd.reason} for odd in webhook.odd]


def _store(webhook: Webhook, packed: bytes, size: int, sender: str, changes: int) -> tuple[int, str]:
    """Store the raw body; return the row's number and result."""
    became = result(webhook, changes)
    row = {
        "sender": sender[:64],
        "body": packed,
        "body_bytes": size,
        "receiver": webhook.receiver[:255],
        "group_key": webhook.group_key,
        "alerts": webhook.entries,
        "changes": changes,
        "odd": set_aside(webhook),
        "result": became,
        "error": webhook.error,
    }
    return statements.insert_webhook(row), became
