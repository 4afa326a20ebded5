"""The table of states and the rules of who is told, written a second time and otherwise: lists and plain comparisons.

The tests replay with it, in the order of the transitions' versions, what several senders did at once.
"""

from dataclasses import dataclass, field
from datetime import datetime

Word = tuple[str, datetime, datetime | None]
"""("F" or "R", start, end)."""


@dataclass
class Row:
    """One episode."""

    low: datetime
    high: datetime
    open: bool
    end: datetime | None = None
    by: str = ""


@dataclass
class Model:
    """One identity as the table sees it, and what each channel that wants it is owed: (episode, kind, n, mark).

    Marks: "" owed, "!" void, "?" unconfirmed, while nobody has asked the Alertmanagers.
    """

    channels: dict[str, bool]
    """Channel name -> is told of ends."""
    rows: list[Row] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    owed: dict[str, list[tuple[int, str, int, str]]] = field(default_factory=dict)

    def apply(self, word: Word) -> list[str]:
        before = len(self.kinds)
        {"F": self._firing, "R": self._resolved}[word[0]](*word[1:])
        return self.kinds[before:]

    def _place(self, start: datetime) -> str:
        if not self.rows or start > self.rows[-1].high:
            return "later"
        if len(self.rows) > 1 and start <= self.rows[-2].high:
            return "earlier"
        return "last"

    def _firing(self, start: datetime, end: datetime | None) -> None:
        place = self._place(start)
        if place == "later":
            if self.rows and self.rows[-1].open:
                self.rows[-1].open, self.rows[-1].by = False, "superseded"
                self.kinds.append("superseded")
            self.rows.append(Row(start, start, True))
            self.kinds.append("firing")
            for name, owed in self.owed.items():
                self.owed[name] = [(n, kind, i, "!") for n, kind, i, _ in owed]
            self._owe("firing")
        elif place == "last" and not self.rows[-1].open:
            last = self.rows[-1]
            last.open, last.end, last.by, last.low = True, None, "", min(last.low, start)
            self.kinds.append("refired")
            self._owe("refired", "?")
        elif place == "last" and start < self.rows[-1].low:
            self.rows[-1].low = start
            self.kinds.append("started_earlier")

    def _resolved(self, start: datetime, end: datetime | None) -> None:
        place = self._place(start)
        if place == "later":
            superseded = bool(self.rows) and self.rows[-1].open
            if superseded:
                self.rows[-1].open, self.rows[-1].by = False, "superseded"
                self.kinds.append("superseded")
                self._owe("resolved")
            self.rows.append(Row(start, start, False, end, "webhook"))
            self.kinds.append("resolved" if superseded else "unheard")
        elif place == "earlier":
            meant = next(row for row in self.rows if row.high >= start)
            if meant.end is None and end is not None:
                meant.end = end
                self.kinds.append("end_known")
        elif self.rows[-1].open:
            last = self.rows[-1]
            if start < last.high and end is not None and end <= last.high:
                return
            last.open, last.end, last.by, last.low = False, end, "webhook", min(last.low, start)
            self.kinds.append("resolved")
            self._owe("resolved")

    def answered(self, listed: bool) -> list[str]:
        """The Alertmanagers were asked about the last episode, which is unconfirmed."""
        for name, owed in self.owed.items():
            self.owed[name] = [(n, kind, i, mark.replace("?", "" if listed else "!")) for n, kind, i, mark in owed]
        if listed:
            return []
        self.rows[-1].open, self.rows[-1].by = False, "unconfirmed"
        self.kinds.append("unconfirmed")
        return ["unconfirmed"]

    def _owe(self, kind: str, mark: str = "") -> None:
        number = len(self.rows)
        if kind == "resolved" and any(row[3] == "?" for owed in self.owed.values() for row in owed):
            for name, owed in self.owed.items():
                self.owed[name] = [(*row[:3], row[3].replace("?", "!")) for row in owed]
            return
        for name, is_told_of_ends in self.channels.items():
            owed = self.owed.setdefault(name, [])
            held = [row for row in owed if row[0] == number and row[1] != "resolved" and not row[3]]
            if kind == "resolved" and not (held and is_told_of_ends):
                continue
            owed.append((number, kind, 1 + sum(row[:2] == (number, kind) for row in owed), mark))
