"""Rows of several tables in the order of their times, a page at a time, without reading more than a page of any of them.

In: `Source`s and where the page begins or ends. Out: a `Window`. Called by `timeline.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import QuerySet

ROWS = 100


class Source(NamedTuple):
    """Rows of one table, and which of their columns says when."""

    rows: QuerySet[Any]
    time: str


class Dated(NamedTuple):
    """One row and its time."""

    at: datetime
    source: int
    """Which source it is of: causes come before what they cause when the times are equal."""
    row: Any


@dataclass(frozen=True, slots=True)
class Window:
    """One page of them, the earliest first."""

    rows: tuple[Dated, ...]
    earlier: datetime | None = None
    """Where the page before it ends; None: this is the first."""
    later: datetime | None = None
    """Where the next page begins; None: this is the last."""


def first(sources: Sequence[Source], since: datetime | None = None, size: int = ROWS) -> Window:
    """Return the page that begins at `since`, the first without. One statement a source."""
    found, horizon = _read(sources, "gte", since, "", size)
    found.sort(key=lambda dated: (dated.at, dated.source))
    if len(found) > size:
        horizon = min(horizon or found[size].at, found[size].at)
    if horizon is not None:
        shown = [dated for dated in found if dated.at < horizon]
        if not shown:  # more rows of one microsecond than a page holds: they are the page
            shown = [dated for dated in found if dated.at == horizon]
            horizon += timedelta(microseconds=1)
        found = shown
    return Window(tuple(found), since, horizon)


def last(sources: Sequence[Source], until: datetime | None = None, size: int = ROWS) -> Window:
    """Return the page that ends before `until`, the last without. One statement a source."""
    found, horizon = _read(sources, "lt", until, "-", size)
    found.sort(key=lambda dated: (dated.at, dated.source), reverse=True)
    if len(found) > size:
        horizon = max(horizon or found[size].at, found[size].at)
    if horizon is not None:
        # the page before this one ends where this one begins
        shown = [dated for dated in found if dated.at > horizon] or [d for d in found if d.at == horizon]
        found, horizon = shown, min(dated.at for dated in shown)
    return Window(tuple(reversed(found)), horizon, until)


def _read(
    sources: Iterable[Source], comparison: str, bound: datetime | None, sign: str, size: int
) -> tuple[list[Dated], datetime | None]:
    """Return at most `size` rows and one more of each source, and up to which time they are complete (None: all are)."""
    found: list[Dated] = []
    horizon: datetime | None = None
    for number, (rows, time) in enumerate(sources):
        bounded = rows.filter(**{f"{time}__{comparison}": bound}) if bound else rows
        got = list(bounded.order_by(f"{sign}{time}", f"{sign}pk")[: size + 1])
        found += [Dated(getattr(row, time), number, row) for row in got]
        if len(got) > size:
            edge = getattr(got[-1], time)
            horizon = edge if horizon is None else (max if sign else min)(horizon, edge)
    return found, horizon
