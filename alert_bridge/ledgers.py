"""What userdb knows of a set of alerts, read under their locks, and what a transaction writes of them: the way in and out.

Called inside a transaction by `intake.py` for a webhook, and by everything else that learns of an alert's state:
reconciliation, the relay's question before a refired is told, the bridge's own watch, replay. The identities are inserted or
locked in key order first and read under those locks; measured with 4 senders and overlapping bodies: no deadlock in 3,600
transactions, exact.
"""

import json
from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from prometheus_client import Counter

from alert_bridge import statements
from alert_bridge.episodes import Episode, Identity
from alert_bridge.outbox import Destination, Holding, Ledger, Owed
from alert_bridge.payload import AlertWord
from userdb import clock, matchers, quiet_hours
from userdb.models import AlertTransition, Channel, Notification
from userdb.rowsets import utc

TRANSITIONS = Counter("mission_alert_transitions_total", "Changes of alerts' states, by kind.", ["kind"])
OWED = Counter("mission_notifications_owed_total", "Notifications written into the outbox, by kind.", ["kind"])
for _kind in AlertTransition.Kind.values:
    TRANSITIONS.labels(_kind)
for _kind in Notification.Kind.values:
    OWED.labels(_kind)


@dataclass(frozen=True, slots=True)
class Cause:
    """What brought the changes that are written."""

    source: str
    """One of AlertTransition.Source."""
    webhook: int | None = None
    at: datetime | None = None
    """When it was heard, of a stored webhook that is applied again; None: now."""


def destinations() -> list[Destination]:
    """Return the enabled channels as the outbox needs to know them. Config and the secrets are the relay's."""
    rows = Channel.objects.filter(enabled=True).order_by("id").values_list(
        "pk", "matchers", "send_resolved", "repeat_after", "tenants", "quiet_start", "quiet_end", "quiet_zone", "quiet_critical"
    )  # fmt: skip
    return [_destination(*row[:4], tuple(row[4]), *row[5:]) for row in rows]


@lru_cache(1024)
def _destination(
    number: int, matching: str, resolved: bool, repeat_after: timedelta | None, tenants: tuple[str, ...], *quiet: Any
) -> Destination:
    """Return one channel's; a channel is read at each webhook, but parsed only when it has changed."""
    return Destination(
        number, matchers.parse(matching), resolved, repeat_after, frozenset(tenants), quiet_hours.of(*quiet)
    )  # fmt: skip


def _cut(labels: dict[str, str], name: str, length: int) -> str:
    return labels.get(name, "").strip()[:length].strip()


def read(words: Sequence[AlertWord]) -> dict[str, Ledger]:
    """Insert or lock the words' identities and return by fingerprint what is known of each, under those locks."""
    labels = {word.fingerprint: word.labels for word in reversed(words)}
    known = statements.LOCK.run(
        (fingerprint, _cut(found, "alertname", 255), _cut(found, "tenant", 63), _cut(found, "severity", 32), found)
        for fingerprint, found in sorted(labels.items())
    )
    if known == 0 and labels:  # all were inserted: nothing can be known of them
        now = clock.now()
        return {name: Ledger(Identity(name, labels=found), now) for name, found in labels.items()}
    return look(words)


def look(words: Sequence[AlertWord]) -> dict[str, Ledger]:
    """Return the same of those that userdb knows, without locking or inserting any: right until somebody else writes."""
    labels = {word.fingerprint: word.labels for word in reversed(words)}
    ledgers: dict[str, Ledger] = {}
    ids: dict[int, Ledger] = {}
    # the start is asked for only where an earlier episode's end may be meant
    for row in statements.STATE.run((w.fingerprint, None if w.firing else w.start) for w in words):
        ledger = ledgers.get(row[0])
        if ledger is None:
            ledger = ledgers[row[0]] = _ledger(row, labels[row[0]])
            if row[7] is not None:
                ids[row[7]] = ledger
        start = utc(row[15])
        if start is not None and row[16] is not None:
            ledger.identity.earlier[start] = _episode(row[16], row[17:24])
    for row in statements.HOLDINGS.run((number,) for number in ids):
        ledger = ids[row[0]]
        firing, refired, repeat, resolved = (int(count) for count in row[2:6])
        told, waiting, unconfirmed = (bool(flag) for flag in row[6:9])
        ledger.holdings[ledger.identity.episodes, row[1]] = Holding(
            firing, refired, repeat, resolved, told, waiting, unconfirmed, utc(row[9]), bool(row[10])
        )
    return ledgers


def _document(text: Any) -> dict[str, str]:
    found: dict[str, str] = text if isinstance(text, dict) else json.loads(text)
    return found


def _episode(number: int, row: tuple[Any, ...]) -> Episode:
    state, starts_at, highest_start, ends_at, closed_by, annotations, generator_url = row
    first, highest = utc(starts_at), utc(highest_start)
    assert first is not None and highest is not None  # noqa: S101, PT018  (NOT NULL columns)
    return Episode(number, state, first, highest, utc(ends_at), closed_by, _document(annotations), generator_url)


def _ledger(row: tuple[Any, ...], labels: dict[str, str]) -> Ledger:
    fingerprint, state, episodes, last_start, previous_start, last_end, version = row[:7]
    now = utc(row[24])
    assert now is not None  # noqa: S101  (the database's clock)
    identity = Identity(
        fingerprint, state, episodes, utc(last_start), utc(previous_start), utc(last_end), version, labels=labels
    )
    if row[7] is not None:
        identity.last = _episode(episodes, row[8:15])
        identity.last.unsent, identity.last.id = bool(row[25]), row[7]
    return Ledger(identity, now)


def write(ledgers: Iterable[Ledger], cause: Cause) -> int:
    """Write what has changed and what is owed for it; return the number of notifications. In the order of fingerprints."""
    changed = sorted(ledgers, key=lambda ledger: ledger.identity.fingerprint)
    statements.EPISODES.run(
        (
            ledger.identity.fingerprint, episode.number, episode.state, episode.starts_at, episode.highest_start,
            episode.ends_at, episode.closed_by, episode.annotations, episode.generator_url, cause.webhook,
        )
        for ledger in changed
        for episode in ledger.identity.written.values()
    )  # fmt: skip
    numbers = _numbers(changed)
    statements.TRANSITIONS.run(
        (
            ledger.identity.fingerprint, numbers[ledger.identity.fingerprint, change.number], change.version, change.kind,
            cause.source, cause.webhook, change.start, change.end,
        )
        for ledger in changed
        for change in ledger.identity.changes
    )  # fmt: skip
    # before the first episode there was nothing that could wait
    statements.VOID.run((ledger.identity.fingerprint,) for ledger in changed if ledger.opened and ledger.opened > 1)
    statements.DROP.run((ledger.identity.fingerprint,) for ledger in changed if ledger.dropped and not ledger.opened)
    # what the bridge says of itself, no Alertmanager knows
    asks_nobody = cause.source == AlertTransition.Source.BRIDGE
    owed: list[tuple[Ledger, Owed]] = [(ledger, owed) for ledger in changed for owed in ledger.owed]
    statements.NOTIFICATIONS.run(
        (
            o.key, o.channel, ledger.identity.fingerprint, numbers[ledger.identity.fingerprint, o.number], o.kind, o.ordinal,
            "owed" if asks_nobody and o.state == "unconfirmed" else o.state, o.reason, cause.at or ledger.now,
            o.due_at or ledger.now, o.due_at or ledger.now,
        )
        for ledger, o in owed
    )  # fmt: skip
    statements.IDENTITIES.run(
        (
            i.fingerprint, i.state, numbers[i.fingerprint, i.open.number] if i.open else None, i.episodes, i.last_start,
            i.previous_start, i.last_end, i.version, int(i.version == len(i.changes)),
        )
        for i in (ledger.identity for ledger in changed)
        if i.changes
    )  # fmt: skip
    return len(owed)


def _numbers(ledgers: Iterable[Ledger]) -> dict[tuple[str, int], int]:
    """Return the ids of the episodes that changes and messages are of, by fingerprint and number. One statement at most."""
    known: dict[tuple[str, int], int] = {}
    wanted: set[tuple[str, int]] = set()
    for ledger in ledgers:
        identity = ledger.identity
        if identity.last is not None and identity.last.id is not None:
            known[identity.fingerprint, identity.last.number] = identity.last.id
        wanted.update((identity.fingerprint, change.number) for change in identity.changes)
        wanted.update((identity.fingerprint, owed.number) for owed in ledger.owed)
    found = statements.NUMBERS.run(sorted(wanted - known.keys()))
    return known | {(fingerprint, number): row for fingerprint, number, row in found}


def count(ledgers: Iterable[Ledger]) -> None:
    """Count what was written, once it is committed."""
    found = list(ledgers)
    for kind, number in Counts(change.kind for ledger in found for change in ledger.identity.changes).items():
        TRANSITIONS.labels(kind).inc(number)
    for kind, number in Counts(owed.kind for ledger in found for owed in ledger.owed).items():
        OWED.labels(kind).inc(number)
