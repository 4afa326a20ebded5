"""What userdb knows of a set of alerts, read under their locks, and what a transaction writes of them: the way in and out.

Called inside a transaction by everything that learns of an alert's state: reconciliation, the relay's question before a
refired is told, the bridge's own watch, replay. For them the identities are inserted or locked in key order first and read
under those locks (`read`). `intake.py` glances without a lock, locks what moves in key order (`lock`) and inserts what is new
(`introduce`): each is told when what it had seen holds no more.
"""

import json
from collections import Counter as Tally
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from prometheus_client import Counter

from alert_bridge import statements
from alert_bridge.episodes import Episode, Identity
from alert_bridge.outbox import Destination, Holding, Ledger, Owed
from alert_bridge.payload import AlertWord
from userdb import clock, matchers, quiet_hours
from userdb.models import AlertTransition, Notification
from userdb.rowsets import utc
from userdb.transactions import Overtaken

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
    return [_destination(*row[1:]) for row in statements.channels()]


def now_and_destinations() -> tuple[datetime, list[Destination]]:
    """Return the same beside userdb's clock. One statement, where there is a channel."""
    found = statements.channels()
    now = utc(found[0][0]) if found else None
    return now or clock.now(), [_destination(*row[1:]) for row in found]


@lru_cache(1024)
def _destination(
    number: int, matching: str, resolved: int, repeat_after: int | None, tenants: str, *quiet: Any
) -> Destination:
    """Return one channel's; a channel is read at each webhook, but parsed only when it has changed."""
    start, end = (None if moment is None else time.fromisoformat(moment) for moment in quiet[:2])
    return Destination(
        number,
        matchers.parse(matching),
        bool(resolved),
        None if repeat_after is None else timedelta(microseconds=repeat_after),
        frozenset(json.loads(tenants)),
        quiet_hours.of(start, end, quiet[2], bool(quiet[3])),
    )


def _cut(labels: dict[str, str], name: str, length: int) -> str:
    return labels.get(name, "").strip()[:length].strip()


def read(words: Sequence[AlertWord]) -> dict[str, Ledger]:
    """Insert or lock the words' identities and return by fingerprint what is known of each, under those locks."""
    labels = {word.fingerprint: word.labels for word in reversed(words)}
    statements.LOCK.run(_named(fingerprint, found) for fingerprint, found in sorted(labels.items()))
    return look(words)


def _named(fingerprint: str, labels: dict[str, str]) -> tuple[str, ...]:
    """Return the columns of an identity that never change."""
    return (
        fingerprint, _cut(labels, "alertname", 255), _cut(labels, "tenant", 63), _cut(labels, "severity", 32),
        _written(labels),
    )  # fmt: skip


def _written(document: dict[str, str]) -> str:
    return msgspec.json.encode(document).decode()


def look(words: Sequence[AlertWord]) -> dict[str, Ledger]:
    """Return the same of those that userdb knows, without locking or inserting any: right until somebody else writes."""
    found = {seen.fingerprint: seen.ledger() for seen in glance(words, every_end=True)}
    hold(found.values())
    return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What userdb knew of one alert when it was looked at, but for what its channels hold."""

    labels: dict[str, str]
    row: tuple[Any, ...]
    earlier: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return str(self.row[0])

    @property
    def version(self) -> int:
        return int(self.row[6])

    def ledger(self) -> Ledger:
        """Return a ledger of its own at each call."""
        ledger = _ledger(self.row, self.labels)
        for row in self.earlier:
            start = utc(row[1])
            assert start is not None  # noqa: S101  (it was asked for)
            ledger.identity.earlier[start] = _episode(row[2], row[3:])
        return ledger


def glance(words: Sequence[AlertWord], every_end: bool = False) -> list[Seen]:
    """Return what userdb knows of the words' alerts, without a lock; of those that it knows.

    The episode that an end means is asked for where it may be an earlier one, or at `every_end`.
    """
    labels = {word.fingerprint: word.labels for word in reversed(words)}
    found = {row[0]: Seen(labels[row[0]], row) for row in statements.STATE.run(labels)}
    times = Tally(word.fingerprint for word in words) if len(labels) < len(words) else {}
    for row in statements.EARLIER.run(
        (word.fingerprint, word.start)
        for word in words
        if not word.firing
        and word.fingerprint in found
        and (every_end or times.get(word.fingerprint, 1) > 1 or _is_before(word, found[word.fingerprint]))
    ):
        found[row[0]].earlier.append(row)
    return list(found.values())


def _is_before(word: AlertWord, seen: Seen) -> bool:
    previous = utc(seen.row[4])
    return previous is not None and word.start <= previous


def lock(seen: Iterable[Seen]) -> dict[str, Ledger]:
    """Lock what was looked at, and return what is known of each, by fingerprint; raise Overtaken if any changed meanwhile.

    What channels hold is read under the lock: it changes without a change of the alert.
    """
    before = {one.fingerprint: one.version for one in seen}
    if dict(statements.VERSIONS.run((fingerprint,) for fingerprint in sorted(before))) != before:
        raise Overtaken("what was looked at has changed")
    ledgers = {one.fingerprint: one.ledger() for one in seen}
    hold(ledgers.values())
    return ledgers


def hold(ledgers: Iterable[Ledger]) -> None:
    """Read what the channels hold of each one's last episode."""
    ids = {ledger.identity.last.id: ledger for ledger in ledgers if ledger.identity.last is not None}
    for row in statements.HOLDINGS.run(ids):
        ledger = ids[row[0]]
        ledger.holdings[ledger.identity.episodes, row[1]] = Holding(
            row[2], row[3], row[4], row[5], bool(row[6]), bool(row[7]), bool(row[8]), utc(row[9]), bool(row[10])
        )


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
    now = utc(row[15])
    assert now is not None  # noqa: S101  (the database's clock)
    identity = Identity(
        fingerprint, state, episodes, utc(last_start), utc(previous_start), utc(last_end), version, labels=labels
    )
    if row[7] is not None:
        identity.last = _episode(episodes, row[8:15])
        identity.last.unsent, identity.last.id = bool(row[16]), row[7]
    return Ledger(identity, now)


def introduce(ledgers: Iterable[Ledger]) -> None:
    """Insert identities that nobody knew as their words have left them; IntegrityError if somebody knows one by now.

    The insert waits for whoever inserts the same one at the same time, as a lock would.
    """
    new = sorted((ledger.identity for ledger in ledgers), key=lambda identity: identity.fingerprint)
    statements.INTRODUCE.run((*_named(i.fingerprint, i.labels), *_standing(i)) for i in new)


def _standing(i: Identity) -> tuple[Any, ...]:
    return i.state, i.episodes, i.last_start, i.previous_start, i.last_end, i.version


def write(ledgers: Iterable[Ledger], cause: Cause, introduced: Container[str] = ()) -> int:
    """Write what has changed and what is owed for it; return the number of notifications. In the order of fingerprints.

    The identities that were `introduced` stand already.
    """
    changed = sorted(ledgers, key=lambda ledger: ledger.identity.fingerprint)
    episodes = statements.EPISODES.run(
        (
            ledger.identity.fingerprint, episode.number, episode.state, episode.starts_at, episode.highest_start,
            episode.ends_at, episode.closed_by, _written(episode.annotations), episode.generator_url, cause.webhook,
        )
        for ledger in changed
        for episode in ledger.identity.written.values()
    )  # fmt: skip
    numbers = _numbers(changed, episodes or [])
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
        (i.fingerprint, *_standing(i), int(i.version == len(i.changes)))
        for i in (ledger.identity for ledger in changed)
        if i.changes and i.fingerprint not in introduced
    )
    return len(owed)


def _numbers(ledgers: Iterable[Ledger], written: Iterable[tuple[str, int, int]]) -> dict[tuple[str, int], int]:
    """Return the ids of the episodes that changes and messages are of, by fingerprint and number. One statement at most."""
    known = {(fingerprint, number): row for fingerprint, number, row in written}
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
    for kind, number in Tally(change.kind for ledger in found for change in ledger.identity.changes).items():
        TRANSITIONS.labels(kind).inc(number)
    for kind, number in Tally(owed.kind for ledger in found for owed in ledger.owed).items():
        OWED.labels(kind).inc(number)
