"""Which alerts fire when: a seeded random plan of flaps, long ones and groups. Pure; played by `prometheus.py`."""

import random
from dataclasses import dataclass

NAMES = ("SimulationFailing", "RepeatedFailures", "ContainerOom", "RequestsSlow", "PodPending")
SEVERITIES = ("warning", "error", "critical")
TENANTS = ("alpha", "beta", "gamma")


@dataclass(frozen=True)
class Span:
    """One time that an alert fires, in seconds since the plan's beginning."""

    start: float
    end: float


@dataclass(frozen=True)
class PlannedAlert:
    """One alert and all its times, in order."""

    labels: dict[str, str]
    spans: tuple[Span, ...]


def make(seed: int, seconds: float, count: int = 30) -> list[PlannedAlert]:
    """Return `count` alerts that come and go for `seconds`; the same for the same seed."""
    chance = random.Random(seed)
    return [PlannedAlert(_labels(number), _spans(chance, seconds)) for number in range(count)]


def _labels(number: int) -> dict[str, str]:
    return {
        "alertname": NAMES[number % len(NAMES)],
        "severity": SEVERITIES[number % len(SEVERITIES)],
        "tenant": TENANTS[number % len(TENANTS)],
        "task": f"task-{number:02}",
    }


def _spans(chance: random.Random, seconds: float) -> tuple[Span, ...]:
    spans: list[Span] = []
    now = chance.uniform(0, 15)
    while now < seconds - 1:
        # a third are flaps, shorter than a group's interval
        flaps = chance.random() < 0.33
        length = chance.uniform(0.7, 3) if flaps else chance.uniform(5, 45)
        end = min(now + length, seconds)
        spans.append(Span(round(now, 3), round(end, 3)))
        now = end + (chance.uniform(0.7, 3) if chance.random() < 0.33 else chance.uniform(4, 30))
    return tuple(spans)
