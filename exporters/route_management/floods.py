"""Which failures become rows of their own: a minute's first of a kind; of the rest a count. Called by `request_history.py`.

A kind is (tenant, route, reason). Nobody can be told apart among strangers, so theirs is (unknown, "", reason), and a scan of
all routes by one is no more rows than a scan of one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.closed_sets import UNKNOWN

FIRST = 10
"""Failures of a kind that are kept in full, a minute."""
MOST_IN_FULL = 600
"""Failures of all kinds that are kept in full, a minute: what a day of nothing but failures may cost userdb."""
MOST_KINDS = 2_000
"""Kinds that are counted at once."""

Kind = tuple[str, str, str]


def kind_of(tenant: str, route: str, reason: str) -> Kind:
    return (tenant, "" if tenant == UNKNOWN else route, reason)


@dataclass(frozen=True, slots=True)
class Rest:
    """Failures of one kind in one minute (since 1970) beyond those kept in full."""

    kind: Kind
    minute: int
    count: int


class Floods:
    """Counts of the minute under way. Not safe for threads: its caller holds a lock."""

    def __init__(self) -> None:
        self._minute = 0
        self._in_full = 0
        self._counts: dict[Kind, list[int]] = {}

    def admit(self, kind: Kind) -> bool | None:
        """Return True: keep it in full; False: it was counted; None: there is no room to count it."""
        counts = self._counts.get(kind)
        if counts is None:
            if len(self._counts) >= MOST_KINDS:
                return None
            counts = self._counts[kind] = [0, 0]
        if counts[0] < FIRST and self._in_full < MOST_IN_FULL:
            counts[0] += 1
            self._in_full += 1
            return True
        counts[1] += 1
        return False

    def turn(self, minute: int, told: Callable[[Rest], None]) -> None:
        """Begin this minute, if it is another one, after telling the summaries of the one before."""
        if minute == self._minute:
            return
        for kind, (_, count) in self._counts.items():
            if count:
                told(Rest(kind, self._minute, count))
        self._minute, self._in_full = minute, 0
        self._counts.clear()
