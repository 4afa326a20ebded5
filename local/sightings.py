"""What passes through the chain, seen from outside: rows of userdb, the bridge's metrics, Prometheus' alerts.

In: the moment from which on things count. Out of each `look`: what was not seen before, in the order of its own time. Called
by `run.py`, which prints it and, for `make smoke`, adds it up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from local.ports import Ports, url
from userdb.models import MonitorEvent, Notification, WebhookEvent

FAILED, COMMITTED, COUNTED = "run failed", "report committed", "seen in recent events"
FIRING, OVER, WEBHOOK, DELIVERED, SAMPLE = "alert firing", "alert over", "webhook received", "delivered", "sample"


@dataclass(frozen=True)
class Sighting:
    """One thing that passed."""

    at: datetime
    what: str
    text: str
    alert: str = ""
    kind: str = ""
    """Of a delivered notification: firing, resolved, ..."""
    channel: str = ""
    key: str = ""
    """Of a delivered notification: its idempotency key."""
    count: int = 0


@dataclass
class Witness:
    """Looks at the chain; each look costs a few small queries."""

    ports: Ports
    tenant: str | None
    story: Path
    """The sample's log: its lines are sightings too."""
    _event: int = 0
    _webhook: int = 0
    _delivered: set[int] = field(default_factory=set)
    _firing: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _counted: int = 0
    _read: int = 0

    def __post_init__(self) -> None:
        self._event = MonitorEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        self._webhook = WebhookEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        self._since = datetime.now(UTC)

    def look(self) -> list[Sighting]:
        """Return what is new. A part of the chain that does not answer is passed over: it is seen at the next look."""
        looks: list[Callable[[], Iterator[Sighting]]] = [
            self._story_lines, self._events, self._recent, self._alerts, self._webhooks, self._deliveries,
        ]  # fmt: skip
        found: list[Sighting] = []
        for one in looks:
            found.extend(one())
        return sorted(found, key=lambda sighting: sighting.at)

    def _story_lines(self) -> Iterator[Sighting]:
        if not self.story.exists():
            return
        with self.story.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._read += len(line)
            moment, _, text = line.decode("utf-8", "replace").strip().partition(" ")
            try:
                yield Sighting(datetime.fromisoformat(moment), SAMPLE, text)
            except ValueError:  # not one of the story's own lines: an error's traceback, for instance
                yield Sighting(datetime.now(UTC), SAMPLE, line.decode("utf-8", "replace").strip())

    def _events(self) -> Iterator[Sighting]:
        for event in MonitorEvent.objects.filter(pk__gt=self._event).order_by("pk")[:100]:
            self._event = event.pk
            name = f"{event.tenant} {event.task}".strip()
            if event.event_type == "gateway":
                text = f"{name}: {event.failure_type or event.level}, {event.message[:100]}"
                yield Sighting(event.occurred_at, FAILED, text)
                yield Sighting(event.received_at, COMMITTED, f"event #{event.pk} of {event.tenant}")

    def _recent(self) -> Iterator[Sighting]:
        try:
            text = requests.get(url(self.ports.bridge_metrics) + "/metrics", timeout=2).text
        except requests.RequestException:
            return
        wanted = {"tenant": self.tenant, "window": "5m", "event_type": "gateway"}
        count = int(
            sum(
                sample.value
                for family in text_string_to_metric_families(text)
                if family.name == "mission_recent_events"
                for sample in family.samples
                if wanted.items() <= sample.labels.items()
            )
        )
        if count > self._counted:
            yield Sighting(datetime.now(UTC), COUNTED, f"{count} of {self.tenant} in 5 min", count=count)
        self._counted = count

    def _alerts(self) -> Iterator[Sighting]:
        try:
            answer: Any = requests.get(url(self.ports.prometheus) + "/api/v1/alerts", timeout=2).json()
        except requests.RequestException:
            return
        now: dict[tuple[str, str, str], str] = {}
        for alert in answer.get("data", {}).get("alerts", []):
            labels = alert["labels"]
            if alert["state"] != "firing" or labels["alertname"] == "Watchdog":
                continue
            key = (labels["alertname"], str(sorted(labels.items())), alert["activeAt"])
            now[key] = alert["annotations"].get("summary", "")
            if key not in self._firing:
                yield Sighting(_moment(alert["activeAt"]), FIRING, f"{key[0]}: {now[key]}", alert=key[0])
        for key in self._firing.keys() - now.keys():
            yield Sighting(datetime.now(UTC), OVER, f"{key[0]}: {self._firing[key]}", alert=key[0])
        self._firing = now

    def _webhooks(self) -> Iterator[Sighting]:
        rows = WebhookEvent.objects.filter(pk__gt=self._webhook).order_by("pk")
        for webhook in rows.defer("body")[:100]:
            self._webhook = webhook.pk
            if webhook.changes:
                names = {t.identity.alertname for t in webhook.transitions.select_related("identity")[:20]}
                yield Sighting(webhook.received_at, WEBHOOK, f"#{webhook.pk}: {', '.join(sorted(names))}")

    def _deliveries(self) -> Iterator[Sighting]:
        rows = Notification.objects.filter(state="delivered", created_at__gt=self._since)
        new = rows.exclude(pk__in=self._delivered).select_related("channel", "identity").order_by("pk")
        for told in new[:100]:
            self._delivered.add(told.pk)
            name = told.identity.alertname if told.identity else ""
            assert told.delivered_at is not None  # noqa: S101  (written with the state)
            text = f"{told.kind} {name} by {told.channel.name}"
            yield Sighting(told.delivered_at, DELIVERED, text, name, told.kind, told.channel.name, told.key)


def _moment(text: str) -> datetime:
    """Return an RFC 3339 time of Prometheus, nanoseconds cut."""
    return datetime.fromisoformat(text)
