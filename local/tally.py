"""Adds sightings up for `make smoke`: is all told that the sample's story owes, and how long did each leg take?"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from local import sample
from local.sightings import COMMITTED, COUNTED, DELIVERED, FAILED, FIRING, SAMPLE, WEBHOOK, Sighting

CHANNELS = ("inbox-email", "inbox-webhook")
_OWED = [("RepeatedFailures", "firing"), ("SimulationFailing", "firing"), ("SimulationFailing", "resolved")]
OWED = frozenset((alert, kind, channel) for alert, kind in _OWED for channel in CHANNELS)
FAILURES = 3


@dataclass
class Tally:
    """Counts what was caused after the story began."""

    began: datetime | None = None
    ended: datetime | None = None
    """When the success at the story's end was told."""
    failed: list[datetime] = field(default_factory=list)
    firsts: dict[str, datetime] = field(default_factory=dict)
    """The first sighting of each leg after the third failure."""
    told: dict[tuple[str, str, str], Sighting] = field(default_factory=dict)
    trouble: str = ""

    def add(self, sightings: Iterable[Sighting]) -> None:
        for sighting in sightings:
            if sighting.what == SAMPLE:
                self._line(sighting)
            elif self.began is not None and sighting.at >= self.began:
                self._count(sighting)

    def _line(self, sighting: Sighting) -> None:
        if sighting.text == sample.BEGINS:
            self.began = sighting.at
        elif sighting.text == sample.ENDS:
            self.ended = sighting.at
        elif sighting.text.startswith("unexpected exits"):
            self.trouble = f"the sample's runs ended otherwise than they should: {sighting.text}"

    def _count(self, sighting: Sighting) -> None:
        if sighting.what == FAILED:
            self.failed.append(sighting.at)
        elif sighting.what == DELIVERED:
            self.told[sighting.alert, sighting.kind, sighting.channel] = sighting
        elif sighting.what != COUNTED or sighting.count >= FAILURES:
            # three reports are committed one by one: the third one's is the last
            if sighting.what == COMMITTED:
                self.firsts[sighting.what] = sighting.at
            self.firsts.setdefault(f"{sighting.what} {sighting.alert}".strip(), sighting.at)

    def missing(self) -> list[str]:
        """Return what has not been seen yet, in words; empty: all is told."""
        found = [] if len(self.failed) >= FAILURES else [f"{FAILURES - len(self.failed)} rows of failures in userdb"]
        return found + [f"{alert} {kind} by {channel}" for alert, kind, channel in sorted(OWED - self.told.keys())]

    def legs(self) -> dict[str, float]:
        """Return the seconds from the third failed run to each leg; `resolved` counts from the success that ended it."""
        third = self.failed[FAILURES - 1]
        firing = [told.at for (_, kind, _), told in self.told.items() if kind == "firing"]
        resolved = max(told.at for (_, kind, _), told in self.told.items() if kind == "resolved")
        moments = {
            "run_failed": third,
            "report_committed": self.firsts[COMMITTED],
            "seen_in_recent_events": self.firsts[COUNTED],
            "firing_simulation_failing": self.firsts[f"{FIRING} SimulationFailing"],
            "firing_repeated_failures": self.firsts[f"{FIRING} RepeatedFailures"],
            "webhook": self.firsts[WEBHOOK],
            "delivered_first": min(firing),
            "delivered_all": max(firing),
        }
        legs = {name: round((moment - third).total_seconds(), 2) for name, moment in moments.items()}
        return legs | {"resolved": round((resolved - (self.ended or resolved)).total_seconds(), 2)}
