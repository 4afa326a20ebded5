"""What must be true once all is quiet: each function returns its faults in words, and none when it holds.

In: userdb's rows, what the destinations noted, what Alertmanager said beside the bridge, what was planned.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from tests.chain.chaos.front import digest
from tests.chain.chaos.ledger import EpisodeRow, MessageRow, Userdb
from tests.chain.chaos.prometheus import iso
from tests.chain.chaos.witness import Sighting, Start, words

CERTAIN = 25.0
"""Seconds: what was seen firing for so long was told to the bridge, or found by reconciliation, whatever was cut meanwhile."""


@dataclass(frozen=True)
class Arrival:
    """One message that a destination noted."""

    at: float
    key: str


@dataclass(frozen=True)
class Evidence:
    """All that is known when all is quiet."""

    userdb: Userdb
    arrivals: Mapping[str, list[Arrival]]
    """By channel."""
    accepted: frozenset[str]
    """Digests of webhooks that the bridge answered with 200."""
    recorded: Mapping[Start, Sighting]
    listed: Mapping[Start, Sighting]
    planned: frozenset[tuple[str, str]]
    """(task, start)."""


def faults(evidence: Evidence) -> list[str]:
    """Return everything that is wrong, each in a line."""
    episodes, messages = evidence.userdb.episodes(), evidence.userdb.messages()
    of_alertmanager = [row for row in episodes if row.origin == "alertmanager"]
    return [
        *lost_webhooks(evidence),
        *double_episodes(of_alertmanager),
        *phantoms(of_alertmanager, evidence.planned),
        *missing(of_alertmanager, evidence),
        *still_open(episodes),
        *broken_histories(evidence.userdb),
        *undelivered(messages),
        *never_owed(evidence.userdb),
        *ends_untold(episodes, messages),
        *arrivals_wrong(messages, evidence.arrivals, evidence.userdb.named_tries()),
        *out_of_order(messages, evidence.arrivals),
    ]


def lost_webhooks(evidence: Evidence) -> list[str]:
    lost = evidence.accepted - {digest(body) for body in evidence.userdb.bodies()}
    return [f"{len(lost)} webhooks were answered with 200 and are not in userdb"] if lost else []


def _by_alert(episodes: Iterable[EpisodeRow]) -> dict[str, list[EpisodeRow]]:
    found: dict[str, list[EpisodeRow]] = defaultdict(list)
    for row in episodes:
        found[row.fingerprint].append(row)
    return found


def double_episodes(episodes: list[EpisodeRow]) -> list[str]:
    """Each episode has its place in time alone: no start lies in two of them."""
    wrong = []
    for rows in _by_alert(episodes).values():
        for before, after in pairwise(rows):
            if after.first <= before.last:
                wrong.append(
                    f"{before.task} #{before.number} and #{after.number} overlap: {before.last}, {after.first}"
                )
    return wrong


def phantoms(episodes: list[EpisodeRow], planned: frozenset[tuple[str, str]]) -> list[str]:
    return [
        f"{row.task} #{row.number}: {start.isoformat()} was never posted"
        for row in episodes
        for start in {row.first, row.last}
        if (row.task, iso(start.timestamp())) not in planned
    ]


def missing(episodes: list[EpisodeRow], evidence: Evidence) -> list[str]:
    """Everything that was told to the bridge is there; and what was seen elsewhere for long enough."""
    rows = _by_alert(episodes)
    told = {start for body in evidence.userdb.bodies() for start, fires in words(body) if fires}
    seen = {start for seen in (evidence.recorded, evidence.listed) for start, s in seen.items() if s.seconds >= CERTAIN}
    return [
        f"{fingerprint} from {start.isoformat()} is in no episode ({'told' if (fingerprint, start) in told else 'seen'})"
        for fingerprint, start in sorted(told | seen)
        if not _is_there(rows[fingerprint], start)
    ]


def _is_there(rows: list[EpisodeRow], start: datetime) -> bool:
    # two later episodes were known when it was first heard: a stale word, which the table leaves out
    return any(row.first <= start <= row.last for row in rows) or sum(row.first > start for row in rows) > 1


def still_open(episodes: list[EpisodeRow]) -> list[str]:
    return [f"{row.task or row.fingerprint} #{row.number} is open" for row in episodes if row.state == "firing"]


def broken_histories(userdb: Userdb) -> list[str]:
    """An identity's changes are numbered without a gap, and its row agrees with its last episode."""
    sql = """SELECT i.fingerprint FROM userdb_alertidentity i
             LEFT JOIN userdb_alerttransition t ON t.identity_id = i.fingerprint
             GROUP BY i.fingerprint, i.version HAVING COUNT(t.id) <> i.version OR COALESCE(MAX(t.version), 0) <> i.version"""
    state = """SELECT i.fingerprint FROM userdb_alertidentity i JOIN userdb_alert a ON a.identity_id = i.fingerprint
               WHERE (a.number = i.episodes AND i.state <> a.state) OR (a.number <> i.episodes AND a.state = 'firing')"""
    return [f"{f}: its changes have a gap" for (f,) in userdb.rows(sql)] + [
        f"{f}: its state is not its last episode's, or an earlier one is open" for (f,) in userdb.rows(state)
    ]


def undelivered(messages: list[MessageRow]) -> list[str]:
    states = {row.id: row.state for row in messages}
    return [
        f"{row.key} to {row.channel} is {row.state} ({row.reason})"
        for row in messages
        if row.state not in ("delivered", "void")
        and not (row.state == "in_digest" and states.get(row.digest or 0) == "delivered")
    ]


def never_owed(userdb: Userdb) -> list[str]:
    """Each firing that a webhook brought owes one to each channel that wants it, in the same transaction."""
    sql = """SELECT t.identity_id, t.alert_id, c.name FROM userdb_alerttransition t
             JOIN userdb_alertidentity i ON i.fingerprint = t.identity_id
             JOIN userdb_channel c ON c.matchers = '' OR i.severity = 'critical'
             WHERE t.kind = 'firing' AND t.source = 'webhook' AND i.origin = 'alertmanager'
               AND NOT EXISTS (SELECT 1 FROM userdb_notification n WHERE n.alert_id = t.alert_id AND n.channel_id = c.id)"""
    return [
        f"episode {alert} of {fingerprint} owes nothing to {channel}"
        for fingerprint, alert, channel in userdb.rows(sql)
    ]


def ends_untold(episodes: list[EpisodeRow], messages: list[MessageRow]) -> list[str]:
    """Who was told of a firing was told of its end, unless a later episode has begun before that."""
    ended = {row.id for row in episodes if row.closed_by in ("webhook", "reconciliation", "bridge")}
    told = {(row.episode, row.channel) for row in messages if row.kind != "resolved" and row.state == "delivered"}
    ends = {(row.episode, row.channel) for row in messages if row.kind == "resolved"}
    return [f"episode {episode}: {channel} holds its beginning and was never owed its end"
            for episode, channel in sorted(told - ends, key=str) if episode in ended]  # fmt: skip


def arrivals_wrong(
    messages: list[MessageRow], arrivals: Mapping[str, list[Arrival]], named: Mapping[str, int]
) -> list[str]:
    """What is delivered has arrived, what arrived was owed, and each double is named by the row of its try."""
    wrong, known = [], {row.key: row for row in messages}
    for channel, noted in arrivals.items():
        counts = Counter(arrival.key for arrival in noted)
        owed = {row.key for row in messages if row.channel == channel}
        wrong += [f"{key} arrived at {channel} and was never owed" for key in counts if key not in owed]
        wrong += [
            f"{row.key} is delivered and has not arrived at {channel}"
            for row in messages
            if row.channel == channel and row.state == "delivered" and not counts[row.key]
        ]
        for key, count in counts.items():
            # one that is not recorded as delivered may have arrived once for each try that is named
            allowed = named.get(key, 0) + (key in known and known[key].state == "delivered")
            if count > allowed:
                wrong.append(f"{key} arrived at {channel} {count} times, {named.get(key, 0)} tries are named")
    return wrong


def out_of_order(messages: list[MessageRow], arrivals: Mapping[str, list[Arrival]]) -> list[str]:
    """Of one alert and channel, messages first arrive in the order in which they were owed."""
    wrong, rows = [], {row.key: row for row in messages}
    for channel, noted in arrivals.items():
        last: dict[str, MessageRow] = {}
        for key in dict.fromkeys(arrival.key for arrival in noted):
            row = rows.get(key)
            if row is None or row.kind == "digest":
                continue
            before = last.get(row.fingerprint)
            if before is not None and before.id > row.id:
                wrong.append(f"{channel}: {row.key} arrived after {before.key}")
            last[row.fingerprint] = row
    return wrong


def doubles(arrivals: Mapping[str, list[Arrival]]) -> dict[str, int]:
    """Return by key how often a message arrived, of those that arrived more than once."""
    found = Counter((channel, arrival.key) for channel, noted in arrivals.items() for arrival in noted)
    return {key: count for (_, key), count in found.items() if count > 1}


def delays(messages: list[MessageRow], arrivals: Mapping[str, list[Arrival]]) -> list[float]:
    """Return, sorted, the seconds from a message's cause to its first arrival."""
    rows = {row.key: row for row in messages}
    first: dict[str, float] = {}
    for noted in arrivals.values():
        for arrival in noted:
            first.setdefault(arrival.key, arrival.at)
    return sorted(at - rows[key].cause_at.astimezone(UTC).timestamp() for key, at in first.items() if key in rows)
