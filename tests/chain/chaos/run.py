"""One run: the plan is played, trouble is made, all grows quiet, the verdict is spoken. Returns figures and faults."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chain.chaos import plan, verdict
from tests.chain.chaos.ledger import Userdb
from tests.chain.chaos.prometheus import Prometheus
from tests.chain.chaos.stage import CHANNELS, Stage
from tests.chain.chaos.troubles import Troubles
from tests.chain.chaos.verdict import Arrival, Evidence
from tests.chain.chaos.witness import Snapshots

QUIET = 150.0
"""Seconds that the chain has to finish once no alert fires any more."""


@dataclass(frozen=True)
class Report:
    """What a run showed."""

    faults: list[str]
    figures: dict[str, object]
    troubles: list[str]


def play(folder: Path, seconds: float, seed: int) -> Report:
    """Play for `seconds`, then until all is quiet."""
    alerts = plan.make(seed, seconds)
    with Stage(folder) as stage:
        snapshots = Snapshots(stage.alertmanagers)
        prometheus = Prometheus(alerts, stage.alertmanagers, seed)
        userdb, troubles = Userdb(stage.server), Troubles(stage, seed)
        snapshots.start()
        prometheus.start()
        try:
            troubles.play(seconds)
            unfinished = _quiet(userdb, prometheus.began + seconds)
        finally:
            prometheus.stop()
            snapshots.stop()
        evidence = Evidence(
            userdb,
            {name: _arrivals(stage.journal(name)) for name in CHANNELS},
            frozenset(stage.front.accepted),
            dict(stage.recorder.firing),
            dict(snapshots.listed),
            frozenset(prometheus.starts()),
        )
        died = [words for member in stage.members for words in member.died]
        faults = [*unfinished, *died, *verdict.faults(evidence)]
        figures = _figures(evidence, troubles.done, stage, prometheus)
    return Report(faults, figures, troubles.log)


def _quiet(userdb: Userdb, ends_at: float) -> list[str]:
    """Wait until nothing is open and nothing waits."""
    _until(lambda: time.time() >= ends_at, ends_at + 60 - time.time())
    # what has just ended is still to be told: quiet is what stays so
    began, calm = time.monotonic(), 0
    while time.monotonic() - began < QUIET:
        calm = calm + 1 if not userdb.open() and not userdb.waiting() else 0
        if calm > 15:
            return []
        time.sleep(0.4)
    return [f"after {QUIET:g} s: {userdb.open()} episodes open, {userdb.waiting()} messages waiting"]


def _until(is_true: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not is_true() and time.monotonic() < ends:
        time.sleep(0.1)


def _arrivals(journal: Path) -> list[Arrival]:
    lines = [line.split(" ", 1) for line in journal.read_text().splitlines()]
    return [Arrival(float(at), key) for at, key in lines]


def _figures(evidence: Evidence, done: Counter[str], stage: Stage, prometheus: Prometheus) -> dict[str, object]:
    userdb = evidence.userdb
    messages = userdb.messages()
    delays = verdict.delays(messages, evidence.arrivals)
    doubles, named = verdict.doubles(evidence.arrivals), userdb.rows(
        """SELECT t.outcome, t.reason, t.after_lease, COUNT(*) FROM userdb_deliveryattempt t
           GROUP BY t.outcome, t.reason, t.after_lease"""
    )  # fmt: skip
    kinds = Counter(
        {kind: sum(n for name, n in done.items() if name.startswith(kind)) for kind in ("kill", "pause", "cut")}
    )
    return {
        "troubles": dict(kinds),
        "silences": prometheus.silences,
        "webhooks answered": dict(stage.front.statuses),
        "webhooks stored": userdb.one("SELECT COUNT(*) FROM userdb_webhookevent"),
        "episodes planned": len(evidence.planned),
        "episodes seen by the recorder": len(evidence.recorded),
        "episodes listed by the API": len(evidence.listed),
        "episodes kept": len(userdb.episodes()),
        "episodes by end": _counted(userdb.rows("SELECT closed_by, COUNT(*) FROM userdb_alert GROUP BY closed_by")),
        "changes": _counted(userdb.rows("SELECT kind, COUNT(*) FROM userdb_alerttransition GROUP BY kind")),
        "changes by source": _counted(
            userdb.rows("SELECT source, COUNT(*) FROM userdb_alerttransition GROUP BY source")
        ),
        "messages": dict(Counter(row.state for row in messages)),
        "arrivals": {name: len(noted) for name, noted in evidence.arrivals.items()},
        "arrived more than once": doubles,
        "tries": {" ".join(map(str, row[:3])): int(row[3]) for row in named},
        "seconds to arrive, p50": _share(delays, 0.5),
        "seconds to arrive, p99": _share(delays, 0.99),
    }


def _counted(rows: list[tuple[object, ...]]) -> dict[str, object]:
    return {str(row[0]) or "(open)": row[1] for row in rows}


def _share(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 2) if values else None
