"""What is still to be told: which notifications a change of an identity owes, to whom, under which idempotency key.

In: what the channels hold of the identity's last episode, read under its lock, and one applied word after the other. Out:
rows of `Notification` to be written in the same transaction, and which older ones are void. Pure; called by `intake.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alert_bridge.episodes import Change, Identity
from alert_bridge.payload import AlertWord
from userdb.matchers import Matcher, wants
from userdb.quiet_hours import QuietHours

# a webhook that comes a little early must not cost a whole further interval of Alertmanager's
_EARLY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Destination:
    """What the outbox needs to know of an enabled channel."""

    id: int
    matchers: tuple[Matcher, ...] = ()
    send_resolved: bool = True
    repeat_after: timedelta | None = None
    tenants: frozenset[str] = frozenset()
    """Empty: the alerts of all."""
    quiet: QuietHours | None = None

    def wants(self, labels: Mapping[str, str]) -> bool:
        if self.tenants and labels.get("tenant", "").strip() not in self.tenants:
            return False
        return wants(self.matchers, labels)

    def due(self, now: datetime, labels: Mapping[str, str]) -> datetime | None:
        """Return when what is owed now may be sent, None for at once."""
        return self.quiet.until(now, labels) if self.quiet else None


@dataclass(slots=True)
class Holding:
    """What one channel holds of one episode: rows by kind, void ones included in the counts."""

    firing: int = 0
    refired: int = 0
    repeat: int = 0
    resolved: int = 0
    valid: bool = False
    """A firing or refired of it is not void: its end is owed to this channel."""
    waiting: bool = False
    """One of its firing, refired or repeat rows is not yet sent."""
    last_told: datetime | None = None
    """When its newest firing, refired or repeat row was made."""


@dataclass(slots=True)
class Owed:
    """One notification to be written."""

    key: str
    channel: int
    number: int
    kind: str
    ordinal: int
    due_at: datetime | None = None
    """The end of the channel's quiet hours; None: at once."""
    void: bool = False


@dataclass(slots=True)
class Ledger:
    """The outbox of one identity while one webhook is applied."""

    identity: Identity
    now: datetime
    holdings: dict[tuple[int, int], Holding] = field(default_factory=dict)
    """By (episode number, channel id)."""
    owed: list[Owed] = field(default_factory=list)
    opened: int | None = None
    """An episode that was opened: what waits of earlier ones is void."""

    def apply(self, word: AlertWord, destinations: Iterable[Destination]) -> None:
        """Apply one word to the identity and note what its changes owe."""
        seen = len(self.identity.changes)
        self.identity.repeated = False
        self.identity.apply(word)
        refired = False
        for change in self.identity.changes[seen:]:
            if change.kind == "firing":
                self._void_before(change.number)
            elif change.kind == "resolved":
                self._owe_end(change, destinations)
            refired = refired or change.kind == "refired"
        if self.identity.open is not None and (len(self.identity.changes) > seen or self.identity.repeated):
            self._owe_firing(refired, destinations)

    def _void_before(self, number: int) -> None:
        self.opened = number
        for owed in self.owed:
            owed.void = owed.void or owed.number < number

    def _owe_end(self, change: Change, destinations: Iterable[Destination]) -> None:
        assert change.owes_end_of is not None  # noqa: S101  (every `resolved` names its episode)
        for channel in destinations:
            if channel.send_resolved and self._holding(change.owes_end_of, channel).valid:
                self._owe(change.owes_end_of, channel, "resolved")

    def _owe_firing(self, refired: bool, destinations: Iterable[Destination]) -> None:
        number = self.identity.episodes
        for channel in destinations:
            if not channel.wants(self.identity.labels):
                continue
            held = self._holding(number, channel)
            if refired:
                self._owe(number, channel, "refired")
            elif not held.valid:  # never told, or void before it was sent: its channel was off for a while
                self._owe(number, channel, "firing")
            elif self.identity.repeated and self._repeat_is_due(channel, held):
                self._owe(number, channel, "repeat")

    def _repeat_is_due(self, channel: Destination, held: Holding) -> bool:
        if channel.repeat_after is None or held.waiting or held.last_told is None:
            return False
        return self.now - held.last_told >= channel.repeat_after - _EARLY

    def _holding(self, number: int, channel: Destination) -> Holding:
        return self.holdings.setdefault((number, channel.id), Holding())

    def _owe(self, number: int, channel: Destination, kind: str) -> None:
        held = self._holding(number, channel)
        ordinal: int = getattr(held, kind) + 1
        setattr(held, kind, ordinal)
        if kind != "resolved":
            held.valid, held.waiting, held.last_told = True, True, self.now
        key, due_at = self._key(number, channel, kind, ordinal), channel.due(self.now, self.identity.labels)
        self.owed.append(Owed(key, channel.id, number, kind, ordinal, due_at))

    def _key(self, number: int, channel: Destination, kind: str, ordinal: int) -> str:
        """Return the same key whoever makes it. The start tells an identity from one of the same fingerprint before it."""
        episode = self.identity.written.get(number) or self.identity.last
        assert episode is not None  # noqa: S101  (it is owed something)
        start = int(episode.highest_start.timestamp() * 1000)
        return f"{self.identity.fingerprint}.{number}.{start}.{channel.id}.{kind}.{ordinal}"
