"""What is still to be told: which notifications a change of an identity owes, to whom, under which idempotency key.

In: what the channels hold of the identity's last episode, read under its lock, and one applied word after the other. Out:
rows of `Notification` to be written in the same transaction, and which older ones are void. Pure; called by `intake.py` and
by whatever else learns of an alert's state.

A `refired` may be a stale word of a pair's other Alertmanager: it is owed unconfirmed, and the relay asks before it is told
(`confirmation.py`). An episode that ends before that voids it, and its end is owed to nobody: nobody heard that it returned.
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
    told: bool = False
    """A firing or refired of it is neither void nor unconfirmed, and no end came after it: its end is owed to this channel."""
    waiting: bool = False
    """One of its firing, refired or repeat rows is owed and not yet sent."""
    unconfirmed: bool = False
    """One of its rows waits for the Alertmanagers' word."""
    last_told: datetime | None = None
    """When its newest firing, refired or repeat row was made."""
    acknowledged: bool = False
    """Somebody has taken the episode on: it owes no repeats."""


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
    state: str = "owed"
    """`owed`, `unconfirmed` or `void`."""
    reason: str = ""
    """Why it is void."""

    def void(self, reason: str) -> None:
        if self.state != "void":
            self.state, self.reason = "void", reason


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
    dropped: bool = False
    """An unconfirmed episode is over: what it owed is void."""

    @property
    def moved(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.identity.changes or self.identity.written or self.owed or self.dropped)

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

    def end_unheard(self, destinations: Iterable[Destination]) -> None:
        """Close the open episode because no Alertmanager lists it any more, and owe its end like any other."""
        self.identity.end_unheard("resolved", "reconciliation")
        self._owe_end(self.identity.changes[-1], destinations)

    def end_unconfirmed(self, end: datetime | None) -> None:
        """Close the open episode because its return was not true: nobody is told. `end`: the one before the return."""
        self.identity.end_unheard("unconfirmed", "unconfirmed", end)
        self._void_unconfirmed(self.identity.episodes)

    def unconfirmed(self, number: int) -> bool:
        """Return whether an episode's return still waits for the Alertmanagers' word."""
        return any(held.unconfirmed for (episode, _), held in self.holdings.items() if episode == number)

    def _void_before(self, number: int) -> None:
        self.opened = number
        for owed in self.owed:
            if owed.number < number:
                owed.void("superseded")

    def _void_unconfirmed(self, number: int) -> None:
        self.dropped = True
        for (episode, _), held in self.holdings.items():
            held.unconfirmed = held.unconfirmed and episode != number
        for owed in self.owed:
            if owed.state == "unconfirmed":
                owed.void("unconfirmed")

    def _owe_end(self, change: Change, destinations: Iterable[Destination]) -> None:
        number = change.owes_end_of
        assert number is not None  # noqa: S101  (every `resolved` names its episode)
        if self.unconfirmed(number):
            self._void_unconfirmed(number)
            return
        for channel in destinations:
            if channel.send_resolved and self._holding(number, channel).told:
                self._owe(number, channel, "resolved")

    def _owe_firing(self, refired: bool, destinations: Iterable[Destination]) -> None:
        number = self.identity.episodes
        state = "unconfirmed" if refired or self.unconfirmed(number) else "owed"
        for channel in destinations:
            if not channel.wants(self.identity.labels):
                continue
            held = self._holding(number, channel)
            if refired:
                self._owe(number, channel, "refired", state)
            elif not (held.told or held.unconfirmed):  # never told, or void before it was sent: it was off for a while
                self._owe(number, channel, "firing", state)
            elif self.identity.repeated and self._repeat_is_due(channel, held):
                self._owe(number, channel, "repeat")

    def _repeat_is_due(self, channel: Destination, held: Holding) -> bool:
        if (
            channel.repeat_after is None
            or held.acknowledged
            or held.waiting
            or held.unconfirmed
            or held.last_told is None
        ):
            return False
        return self.now - held.last_told >= channel.repeat_after - _EARLY

    def _holding(self, number: int, channel: Destination) -> Holding:
        return self.holdings.setdefault((number, channel.id), Holding())

    def _owe(self, number: int, channel: Destination, kind: str, state: str = "owed") -> None:
        held = self._holding(number, channel)
        ordinal: int = getattr(held, kind) + 1
        setattr(held, kind, ordinal)
        if kind == "resolved":
            held.told = False
        else:
            held.last_told = self.now
            if state == "unconfirmed":
                held.unconfirmed = True
            else:
                held.told = held.waiting = True
        key, due_at = self._key(number, channel, kind, ordinal), channel.due(self.now, self.identity.labels)
        self.owed.append(Owed(key, channel.id, number, kind, ordinal, due_at, state))

    def _key(self, number: int, channel: Destination, kind: str, ordinal: int) -> str:
        """Return the same key whoever makes it. The start tells an identity from one of the same fingerprint before it."""
        episode = self.identity.written.get(number) or self.identity.last
        assert episode is not None  # noqa: S101  (it is owed something)
        start = int(episode.highest_start.timestamp() * 1000)
        return f"{self.identity.fingerprint}.{number}.{start}.{channel.id}.{kind}.{ordinal}"
