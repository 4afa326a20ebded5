"""The table of states: what one word does to what is known of its identity. Pure, called by `outbox.py` under the lock.

In: an `Identity` as it was read, words in the order of the body. Out: the same object, changed, with the changes and the
episodes that are to be written. L is the highest start ever heard of the last episode, P that of the one before it:

| comes, with start s (and end e) | no episode open | one open |
|---|---|---|
| firing, s > L (or the first)    | opens: firing                   | closes it: superseded; opens the next: firing |
| firing, P < s <= L              | the last one again: refired     | nothing, but perhaps an earlier shown start   |
| firing, s <= P                  | stale: nothing                  | stale: nothing                                |
| resolved, s > L                 | kept, told to nobody: unheard   | superseded, keeps the later one: resolved     |
| resolved, P < s <= L            | nothing, or its end is known    | closes it; nothing if s < L and e <= L        |
| resolved, s <= P                | that earlier episode's end becomes known                        ||

An episode can also end without a word: no Alertmanager lists it any more (`end_unheard`). Its end is not known then, until
a resolved says it.
"""

from dataclasses import dataclass, field
from datetime import datetime

from alert_bridge.payload import AlertWord


@dataclass(slots=True)
class Episode:
    """One episode as it is, or is to be, in userdb."""

    number: int
    state: str
    starts_at: datetime
    highest_start: datetime
    ends_at: datetime | None = None
    closed_by: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    generator_url: str = ""
    unsent: bool = False
    """No webhook that is still stored brought it: reconciliation found it."""
    id: int | None = None
    """Of its row, where that was read."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of AlertTransition."""

    version: int
    kind: str
    number: int
    start: datetime
    end: datetime | None
    owes_end_of: int | None = None
    """The episode whose channels are owed the end: set on a `resolved` alone."""


@dataclass(slots=True)
class Identity:
    """What is known of one fingerprint under its lock, and what a webhook changes of it."""

    fingerprint: str
    state: str = "new"
    episodes: int = 0
    last_start: datetime | None = None
    previous_start: datetime | None = None
    last_end: datetime | None = None
    version: int = 0
    last: Episode | None = None
    labels: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    written: dict[int, Episode] = field(default_factory=dict)
    """Episodes to be written, by number."""
    earlier: dict[datetime, Episode] = field(default_factory=dict)
    """By a word's start: the episode before the last one that it means, the lowest whose highest start is not below."""
    repeated: bool = False
    """A firing came for the open episode and changed nothing that is told: a repeat may be owed."""

    @property
    def open(self) -> Episode | None:
        return self.last if self.last is not None and self.last.state == "firing" else None

    def apply(self, word: AlertWord) -> None:
        """Apply one word."""
        self.labels = word.labels or self.labels
        start = word.start
        if self.previous_start is not None and start <= self.previous_start:
            if not word.firing:
                self._ended_before(word)
        elif self.last_start is None or start > self.last_start:
            self._later(word)
        elif word.firing:
            self._firing_again(word)
        else:
            self._resolved(word)

    def end_unheard(self, kind: str, closed_by: str, end: datetime | None = None) -> None:
        """Close the open episode without a word of its end; `kind` is `resolved` or `unconfirmed`."""
        episode = self.open
        assert episode is not None  # noqa: S101  (the caller has looked, under the lock)
        episode.state, episode.ends_at, episode.closed_by = "resolved", end, closed_by
        self.written[episode.number] = episode
        self.state, self.last_end = "resolved", end
        self.version += 1
        owes_end_of = episode.number if kind == "resolved" else None
        self.changes.append(Change(self.version, kind, episode.number, episode.highest_start, end, owes_end_of))

    def _note(self, kind: str, number: int, word: AlertWord, owes_end_of: int | None = None) -> None:
        self.version += 1
        self.changes.append(Change(self.version, kind, number, word.start, word.end, owes_end_of))

    def _touch(self, episode: Episode, word: AlertWord) -> Episode:
        episode.annotations = word.annotations or episode.annotations
        episode.generator_url = word.generator_url or episode.generator_url
        self.written[episode.number] = episode
        return episode

    def _begin(self, word: AlertWord, state: str) -> Episode:
        self.episodes += 1
        self.previous_start, self.last_start = self.last_start, word.start
        self.last = Episode(self.episodes, state, word.start, word.start)
        self.state = state
        return self._touch(self.last, word)

    def _later(self, word: AlertWord) -> None:
        """Apply a start later than any heard: the open episode, if any, has ended unheard."""
        ended = self.open
        if ended is not None:
            # its end was never said; it is at most the new start, which is no time to show as its end
            ended.state, ended.closed_by = "resolved", "superseded"
            self.written[ended.number] = ended
            self._note("superseded", ended.number, word)
        if word.firing:
            self._begin(word, "firing")
            self.last_end = None
            self._note("firing", self.episodes, word)
            return
        episode = self._begin(word, "resolved")
        episode.ends_at, episode.closed_by = word.end, "webhook"
        self.last_end = word.end
        if ended is None:
            self._note("unheard", self.episodes, word)
        else:
            self._note("resolved", self.episodes, word, owes_end_of=ended.number)

    def _firing_again(self, word: AlertWord) -> None:
        """Apply a firing of the last episode: it returned, or it is a repeat."""
        assert self.last_start is not None  # noqa: S101  (there is an L)
        if self.last is None:
            # retention has deleted the row: the return stands in a new one, with the same place in time
            self.episodes += 1
            self.last = Episode(self.episodes, "resolved", word.start, self.last_start)
        if self.open is None:
            episode = self._touch(self.last, word)
            episode.state, episode.ends_at, episode.closed_by = "firing", None, ""
            episode.starts_at = min(episode.starts_at, word.start)
            self.state, self.last_end = "firing", None
            self._note("refired", episode.number, word)
            return
        if word.start < self.last.starts_at:
            self._touch(self.last, word).starts_at = word.start
            self._note("started_earlier", self.last.number, word)
        elif self.last.unsent or (word.annotations, word.generator_url) != (
            self.last.annotations,
            self.last.generator_url,
        ):
            self._touch(self.last, word)  # told with the next message, or its first webhook; no change of state
        self.repeated = True

    def _ended_before(self, word: AlertWord) -> None:
        """Apply the end of an earlier episode: it becomes known, nothing else changes."""
        known = [*self.written.values(), self.earlier.get(word.start)]
        meant = [e for e in known if e is not None and e.number < self.episodes and e.highest_start >= word.start]
        if not meant or word.end is None:
            return
        episode = min(meant, key=lambda e: e.highest_start)
        episode = self.written.get(episode.number, episode)
        if episode.ends_at is None:
            episode.ends_at = word.end
            self.written[episode.number] = episode
            self._note("end_known", episode.number, word)

    def _resolved(self, word: AlertWord) -> None:
        """Apply the end of the last episode, if that is what the word means."""
        episode = self.open
        assert self.last_start is not None  # noqa: S101  (there is an L)
        if word.start < self.last_start and word.end is not None and word.end <= self.last_start:
            return  # an earlier word's end: it was over before the last start
        if episode is None:
            self._said_at_last(word)
            return
        self._touch(episode, word)
        episode.state, episode.ends_at, episode.closed_by = "resolved", word.end, "webhook"
        episode.starts_at = min(episode.starts_at, word.start)
        self.state, self.last_end = "resolved", word.end
        self._note("resolved", episode.number, word, owes_end_of=episode.number)

    def _said_at_last(self, word: AlertWord) -> None:
        """Apply the end of an episode that was closed before its end was heard: it becomes known."""
        episode = self.last
        if episode is None or episode.ends_at is not None or word.end is None:
            return
        if episode.closed_by in ("reconciliation", "unconfirmed"):
            episode.ends_at = self.last_end = word.end
            self.written[episode.number] = episode
            self._note("end_known", episode.number, word)
