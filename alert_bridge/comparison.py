"""What userdb knows against what the Alertmanagers list: pure, called by `reconcile.py` once a round.

In: the open alerts as they were before the question, the view, and what earlier rounds saw. Out: a plan of what has lasted
long enough to be written (`corrections.py`).

| an alert is | and | then |
|---|---|---|
| open in userdb, listed by nobody | two certain rounds and the grace long, unchanged | closed: it ended and nobody said so |
| open, listed with a later start alone | the same, and not suppressed | superseded: it ended and began again |
| open, listed | its suppression is another than userdb's | marked |
| not open, listed for one of our receivers | two rounds, and it began long enough ago | found: it was never sent to us |

A round is certain when every Alertmanager answered and none is young. One that is not begins the wait anew: an alert that
nobody lists may be known to the one that is silent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alert_bridge.alertmanagers import Listed, View
from alert_bridge.payload import FINGERPRINT


@dataclass(frozen=True, slots=True)
class Limits:
    """How long something has to last before it is believed."""

    minimum_uptime: timedelta
    """An Alertmanager that runs for less is young: its list may not be whole."""
    grace: timedelta
    """For how long an open alert is listed by nobody, or with a later start alone."""
    unsent_after: timedelta
    """How long ago an alert began that was never sent."""


@dataclass(frozen=True, slots=True)
class Known:
    """One open alert."""

    fingerprint: str
    version: int
    last_start: datetime
    suppression: str = ""
    suppressed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """What suppresses an open alert now; both are empty when nothing does."""

    fingerprint: str
    suppression: str
    suppressed_by: tuple[str, ...]


@dataclass(slots=True)
class Plan:
    """What is to be written."""

    closed: list[Known] = field(default_factory=list)
    superseded: list[tuple[Known, Listed]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    found: list[Listed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Sighting:
    """Since when one alert has been seen the same, without a round that saw it otherwise."""

    what: object
    since: float
    rounds: int


class _Watch:
    """Alerts that were seen in one way, round after round."""

    def __init__(self) -> None:
        self._seen: dict[str, _Sighting] = {}

    def see(self, now: float, seen: Mapping[str, object]) -> dict[str, tuple[float, int]]:
        """Take one round's sightings and return of each for how long and how many rounds it has been seen so."""
        fresh = {}
        for fingerprint, what in seen.items():
            before = self._seen.get(fingerprint)
            if before is None or before.what != what:
                before = _Sighting(what, now, 0)
            fresh[fingerprint] = _Sighting(what, before.since, before.rounds + 1)
        self._seen = fresh
        return {fingerprint: (now - s.since, s.rounds) for fingerprint, s in fresh.items()}

    def forget(self) -> None:
        self._seen = {}


class Comparison:
    """Compares round after round; what it has seen lives in memory alone, and a new process begins to wait anew."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._absent, self._later, self._unsent = _Watch(), _Watch(), _Watch()

    def compare(
        self, known: Iterable[Known], view: View, receivers: frozenset[str], asked_at: float, now: datetime
    ) -> Plan:
        """Return what is to be written. `asked_at`: when the question was begun, in seconds of any one steady clock."""
        opened = {alert.fingerprint: alert for alert in known}
        listings = {fingerprint: view.listings(fingerprint) for fingerprint in view.fingerprints()}
        plan = Plan(marks=_marks(opened, listings))
        if view.doubt(self._limits.minimum_uptime) is None:
            self._ended(plan, opened, listings, asked_at)
        else:
            self._absent.forget()
            self._later.forget()
        self._never_sent(plan, opened, listings, receivers, asked_at, now)
        return plan

    def _ended(self, plan: Plan, opened: dict[str, Known], listings: dict[str, list[Listed]], asked_at: float) -> None:
        absent = {fp: alert.version for fp, alert in opened.items() if fp not in listings}
        plan.closed = [opened[fp] for fp, seen in self._absent.see(asked_at, absent).items() if self._lasts(*seen)]
        later = {}
        for fp, alert in opened.items():
            start = _later_start(alert, listings.get(fp, []))
            if start is not None:
                later[fp] = (alert.version, start)
        for fp, seen in self._later.see(asked_at, later).items():
            if self._lasts(*seen):
                plan.superseded.append((opened[fp], next(a for a in listings[fp] if a.start == later[fp][1])))

    def _lasts(self, seconds: float, rounds: int) -> bool:
        return rounds >= 2 and seconds >= self._limits.grace.total_seconds()

    def _never_sent(
        self, plan: Plan, opened: dict[str, Known], listings: dict[str, list[Listed]], receivers: frozenset[str],
        asked_at: float, now: datetime,
    ) -> None:  # fmt: skip
        candidates: dict[str, Listed] = {}
        for fp, listed in listings.items():
            ours = [a for a in listed if a.start is not None and receivers.intersection(a.receivers)]
            if ours and fp not in opened and FINGERPRINT.fullmatch(fp):
                candidates[fp] = min(ours, key=lambda a: a.start or now)
        for fp, (_, rounds) in self._unsent.see(asked_at, dict.fromkeys(candidates)).items():
            start = candidates[fp].start
            if rounds >= 2 and start is not None and now - start >= self._limits.unsent_after:
                plan.found.append(candidates[fp])


def _later_start(alert: Known, listed: list[Listed]) -> datetime | None:
    """Return the lowest start of an alert that everybody who lists it lists with a later one than is known.

    None while it is suppressed: its channels would be told in spite of the silence. A firing will come when that ends, and
    an end that comes before it is owed to those who heard of the episode that is open.
    """
    starts = [a.start for a in listed]
    if any(start is None or start <= alert.last_start for start in starts) or _suppression(listed)[0]:
        return None
    return min((start for start in starts if start is not None), default=None)


def _marks(opened: dict[str, Known], listings: dict[str, list[Listed]]) -> list[Mark]:
    marks = []
    for fp, alert in opened.items():
        if fp in listings:
            suppression, by = _suppression(listings[fp])
            if (suppression, by) != (alert.suppression, alert.suppressed_by):
                marks.append(Mark(fp, suppression, by))
    return marks


def mark_of(listed: list[Listed]) -> Mark:
    """Return what suppresses an alert, by everybody who lists it."""
    return Mark(listed[0].fingerprint, *_suppression(listed))


def _suppression(listed: list[Listed]) -> tuple[str, tuple[str, ...]]:
    """Return `silenced`, `inhibited` or "" and by what; it is not suppressed when one of those that list it lets it pass."""
    silences = sorted({silence for a in listed for silence in a.silenced_by})
    sources = sorted({source for a in listed for source in a.inhibited_by})
    if not listed or any(a.state != "suppressed" for a in listed) or not (silences or sources):
        return "", ()
    return "silenced" if silences else "inhibited", (*silences, *sources)
