"""One notification as a message for people and for machines. Called by `relay.py`, read by `channels/`.

A digest is written by `digest_message.py`, in the same words.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alert_bridge.channels.base import Message, Parts
from alert_bridge.phrases import PHRASES
from runtime.settings import env_text
from userdb.models import Alert, Channel, MonitorEvent, Notification

DOCUMENT_VERSION = "1"
TITLE, _PARAGRAPH, VALUE = 250, 5_000, 500
"""Characters that a person is shown of a title, an annotation, a label; `document` holds them whole."""


def bridge_url() -> str:
    """Return the address under which people reach the admin pages (BRIDGE_URL), without a slash at its end."""
    return env_text("BRIDGE_URL", "http://127.0.0.1:8000").rstrip("/")


def iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def line(text: str) -> str:
    return " ".join(text.split())


def write(
    notification: Notification,
    firing_was_told: bool,
    evidence: Sequence[MonitorEvent] = (),
    carries_end: bool = False,
) -> Message:
    """Return the message of a notification; `firing_was_told`: did this channel ever take a firing of the episode?

    `carries_end`: it is a firing whose episode is over, and no message of its end comes after it.
    """
    alert = notification.alert
    assert alert is not None  # noqa: S101  (a digest alone belongs to no episode)
    identity = alert.identity
    resolved = carries_end or notification.kind == Notification.Kind.RESOLVED
    told = firing_was_told and not carries_end
    url = f"{bridge_url()}/admin/userdb/alert/{alert.pk}/change/"
    writer = Writer(notification.channel.language)
    verb = writer.say(notification.kind if told or not resolved else "resolved_untold")
    title = writer.title(verb, alert)
    parts = writer.parts(verb, alert, resolved, url, evidence)
    document: dict[str, Any] = {
        "version": DOCUMENT_VERSION,
        "key": notification.key,
        "kind": notification.kind,
        "status": "resolved" if resolved else "firing",
        "firing_was_told": told,
        "title": title,
        "fingerprint": identity.fingerprint,
        "episode": alert.number,
        "labels": identity.labels,
        "annotations": alert.annotations,
        "starts_at": iso(alert.starts_at),
        "ends_at": iso(alert.ends_at) if resolved else None,
        "generator_url": alert.generator_url,
        "alert_url": url,
        "caused_at": iso(notification.cause_at),
        "evidence": [_event(row) for row in evidence],
    }
    # by the notification's own time, so that every try carries the same date
    return Message(
        notification.key, notification.kind, title, text_of(parts), url, document, notification.created_at, parts,
        thread_of(notification.key),
    )  # fmt: skip


def thread_of(key: str) -> str:
    """Return the key of the episode's first message to that channel: the one that later messages answer."""
    return f"{key.rsplit('.', 2)[0]}.firing.1"


def of_test(channel: Channel, by: str) -> Message:
    """Return a message that says of itself that it is a test."""
    writer = Writer(channel.language)
    url = f"{bridge_url()}/admin/userdb/channel/{channel.pk}/change/"
    key, moment = f"test.{secrets.token_hex(16)}", datetime.now(UTC)
    title = writer.cut(line(writer.say("test_title", channel=channel.name)), TITLE)
    parts = Parts(
        heading=writer.say("test"),
        paragraphs=(writer.say("test_text", channel=channel.name, by=by),),
        links=((writer.say("test_page"), url),),
        left_out=writer.say("left_out"),
    )
    document = {
        "version": DOCUMENT_VERSION,
        "key": key,
        "kind": "test",
        "status": "test",
        "title": title,
        "channel": channel.name,
        "caused_at": iso(moment),
    }
    return Message(key, "test", title, text_of(parts), url, document, moment, parts)


class Writer:
    """Writes in one language; a language that this release has no phrases for is English."""

    def __init__(self, language: str) -> None:
        self._phrases = PHRASES.get(language, PHRASES["en"])

    def say(self, phrase: str, **values: Any) -> str:
        return self._phrases[phrase].format(**values)

    def cut(self, text: str, length: int) -> str:
        return text if len(text) <= length else self.say("cut", text=text[:length], length=len(text))

    def name(self, alert: Alert) -> str:
        identity = alert.identity
        return self.named(identity.alertname, identity.tenant, identity.fingerprint)

    def named(self, alertname: str, tenant: str, fingerprint: str) -> str:
        """Return what people call it; one without a name (its rule has none, or it was posted by hand) by its hash."""
        name = alertname or self.say("nameless", fingerprint=fingerprint)
        return self.say("of_tenant", name=name, tenant=tenant) if tenant else name

    def title(self, verb: str, alert: Alert) -> str:
        """Return one line: it becomes a subject."""
        summary = alert.annotations.get("summary", "")
        phrase = "summarised" if summary else "titled"
        return self.cut(line(self.say(phrase, verb=verb, name=self.name(alert), summary=summary)), TITLE)

    def parts(self, verb: str, alert: Alert, resolved: bool, url: str, evidence: Sequence[MonitorEvent]) -> Parts:
        notes = alert.annotations
        facts = [(self.say("since"), iso(alert.starts_at) or "")]
        if resolved:
            facts.append((self.say("ended"), iso(alert.ends_at) or self.say("not_known")))
        links = [(self.say("page"), url)]
        if alert.generator_url:
            links.append((self.say("graph"), self.cut(alert.generator_url, _PARAGRAPH)))
        if notes.get("runbook_url"):
            links.append((self.say("runbook"), self.cut(notes["runbook_url"], VALUE)))
        labels = sorted(alert.identity.labels.items())
        return Parts(
            heading=self.say("named", verb=verb, name=self.name(alert)),
            paragraphs=tuple(self.cut(notes[n], _PARAGRAPH) for n in ("summary", "description") if notes.get(n)),
            facts=tuple(facts),
            labels_title=self.say("labels"),
            labels=tuple((name, self.cut(line(value), VALUE)) for name, value in labels),
            evidence_title=self.say("evidence", tenant=alert.identity.tenant),
            evidence=tuple(self.event(row) for row in evidence),
            links=tuple(links),
            left_out=self.say("left_out"),
        )

    def event(self, row: MonitorEvent) -> str:
        words = (iso(row.occurred_at), row.level, row.task, row.failure_type)
        return f"{' '.join(word for word in words if word)}: {self.cut(line(_said(row)), VALUE)}"


def _said(row: MonitorEvent) -> str:
    """Return the beginning of an event's message, as `evidence.py` read it."""
    return str(row.said if hasattr(row, "said") else row.message)


def _event(row: MonitorEvent) -> dict[str, Any]:
    return {
        "occurred_at": iso(row.occurred_at),
        "event_type": row.event_type,
        "level": row.level,
        "task": row.task,
        "failure_type": row.failure_type,
        "source": row.source,
        "message": _said(row),
    }


def text_of(parts: Parts) -> str:
    lines = [parts.heading, ""]
    for paragraph in parts.paragraphs:
        lines += [paragraph, ""]
    width = max((len(name) for name, _ in parts.facts), default=0)
    lines += [f"{name}:{' ' * (2 + width - len(name))}{value}" for name, value in parts.facts]
    if parts.labels_title:
        lines += ["", f"{parts.labels_title}:"] + [f"  {name} = {value}" for name, value in parts.labels]
    if parts.evidence:
        lines += ["", f"{parts.evidence_title}:"] + [f"  {event}" for event in parts.evidence]
    if lines[-1]:
        lines.append("")
    lines += [f"{name}: {url}" for name, url in parts.links]
    return "\n".join(lines) + "\n"
