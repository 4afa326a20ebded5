"""Plays the plan to both Alertmanagers as Prometheus does: what fires is sent again and again, an end for a while.

In: the plan. Out: POST /api/v2/alerts to each Alertmanager by a thread of its own, and silences now and then to one of them.
"""

import json
import random
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.chain.chaos.plan import PlannedAlert, Span

PERIOD = 0.5
"""Seconds between two looks at the plan: Prometheus' evaluation interval."""
RESEND = 2.0
"""Prometheus' resend delay: what fires is sent again, and ends by itself after four times this."""
RETENTION = 60.0
"""For how long an end is sent again (Prometheus: 15 min)."""


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def post(url: str, body: Any, timeout: float = 3.0) -> Any:
    """POST JSON and return the JSON answer, None for an empty one; OSError when nobody takes it."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read() or b"null")


@dataclass
class Prometheus:
    """`start` begins to play; `quiet_at` is when the last alert has ended for good."""

    plan: list[PlannedAlert]
    alertmanagers: list[str]
    seed: int
    began: float = 0.0
    silences: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.began = time.time()
        targets: list[Any] = [lambda url=url: self._send(url) for url in self.alertmanagers]
        self._threads = [threading.Thread(target=target, daemon=True) for target in [*targets, self._silence]]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def starts(self) -> set[tuple[str, str]]:
        """Return (the alert's task, its start) of everything that was planned."""
        return {(a.labels["task"], iso(self.began + s.start)) for a in self.plan for s in a.spans}

    def _send(self, url: str) -> None:
        sent: dict[tuple[str, float, bool], float] = {}
        while not self._stop.wait(PERIOD):
            now = time.time()
            due = []
            for alert in self.plan:
                span = _current(alert, now - self.began)
                if span is None:
                    continue
                fires = now - self.began < span.end
                key = (alert.labels["task"], span.start, fires)
                if now - sent.get(key, 0.0) >= RESEND:
                    sent[key] = now
                    due.append(self._alert(alert, span, now, fires))
            if due:
                with suppress(OSError):  # it is killed, paused or cut off: Prometheus comes again
                    post(f"{url}/api/v2/alerts", due)

    def _alert(self, alert: PlannedAlert, span: Span, now: float, fires: bool) -> dict[str, Any]:
        end = now + 4 * RESEND if fires else self.began + span.end
        return {
            "labels": alert.labels,
            "annotations": {"summary": f"{alert.labels['task']} since {span.start:.1f} s"},
            "startsAt": iso(self.began + span.start),
            "endsAt": iso(end),
            "generatorURL": "http://prometheus.example/graph",
        }

    def _silence(self) -> None:
        """Silence an alert now and then, for a few seconds."""
        chance = random.Random(self.seed + 1)
        while not self._stop.wait(chance.uniform(4, 12)):
            alert, url = chance.choice(self.plan), chance.choice(self.alertmanagers)
            task = {"name": "task", "value": alert.labels["task"], "isRegex": False, "isEqual": True}
            now = time.time()
            body = {"matchers": [task], "startsAt": iso(now), "endsAt": iso(now + chance.uniform(4, 15)),
                    "createdBy": "chaos", "comment": "for a while"}  # fmt: skip
            with suppress(OSError):
                post(f"{url}/api/v2/silences", body)
                self.silences += 1


def _current(alert: PlannedAlert, at: float) -> Span | None:
    """Return the span that fires, or the last one that has ended not too long ago."""
    begun = [span for span in alert.spans if span.start <= at]
    return begun[-1] if begun and at < begun[-1].end + RETENTION else None
