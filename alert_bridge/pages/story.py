"""An episode's history in words: one `Line` for each thing that happened, with the time since the one before.

In: a `Timeline`. Out: lines for the template. Called by `alert.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.urls import reverse

from alert_bridge.pages.spans import span
from alert_bridge.queries.timeline import Timeline
from userdb.admin.pages import when
from userdb.models import (
    Acknowledgement,
    Alert,
    AlertTransition,
    AuditEntry,
    DeliveryAttempt,
    MonitorEvent,
    Notification,
    WebhookEvent,
)

GOOD, BAD, WARN, PLAIN = "good", "bad", "warn", "plain"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    what: str
    """A word for the kind of thing."""
    title: str
    detail: str = ""
    url: str = ""
    tone: str = PLAIN
    gap: str = ""
    """How long after the line before it; empty on the first."""


_CHANGES = {
    "firing": "Firing",
    "refired": "Firing again: a start heard before came after its end",
    "superseded": "Ended: a later start came, its end was never heard",
    "resolved": "Resolved",
    "unheard": "Began and ended unheard: only the end came, nobody was told",
    "started_earlier": "It began earlier than was known",
    "end_known": "The end of this earlier episode became known",
    "unconfirmed": "Closed: every Alertmanager was asked, none lists it",
}
_TONES = {"firing": BAD, "refired": BAD, "resolved": GOOD, "unconfirmed": WARN, "superseded": WARN}
_SOURCES = {
    "webhook": "brought by a webhook",
    "replay": "brought by a stored webhook that was applied again",
    "reconciliation": "found by reconciliation: the Alertmanagers' own lists say so",
    "relay": "found by the relay, which asked every Alertmanager before it told anybody",
    "bridge": "what the bridge says of itself",
}
_OUTCOMES = {
    "started": ("under way", PLAIN),
    "delivered": ("delivered", GOOD),
    "temporary": ("failed, is tried again", WARN),
    "permanent": ("refused for good", BAD),
    "unknown": ("not known: its process ended or was paused, the message may have arrived", WARN),
}
_ACTIONS = {
    "silence": "Silenced",
    "expire_silence": "Silence ended",
    "withdraw_acknowledgement": "Acknowledgement withdrawn",
}


def tell(alert: Alert, timeline: Timeline) -> list[Line]:
    """Return the page's lines, the earliest first."""
    lines = [line for line in _lines(alert, timeline) if line is not None]
    lines.sort(key=lambda line: line.at)
    told: list[Line] = []
    for line in lines:
        told.append(replace(line, gap=f"+{span(line.at - told[-1].at)}" if told else ""))
    return told


def _lines(alert: Alert, timeline: Timeline) -> Iterator[Line | None]:
    first, last = timeline.rows.earlier is None, timeline.rows.later is None
    if first:
        yield from map(_failure, timeline.failures)
        yield Line(alert.starts_at, "began", "The rule began to fire", "by the start that Alertmanager names")
    seen: set[int] = set()
    for dated in timeline.rows.rows:
        row = dated.row
        webhook = row.webhook if isinstance(row, AlertTransition) and row.source == "webhook" else None
        if webhook is not None and webhook.pk not in seen:  # one may bring several changes of the episode; it came once
            seen.add(webhook.pk)
            yield _webhook(webhook)
        yield _WORDS[type(row)](row)
    if last and alert.ends_at is not None:
        yield Line(alert.ends_at, "ended", "It ended", "by the end that Alertmanager names", tone=GOOD)


def _failure(event: Any) -> Line:
    words = " ".join(word for word in (event.level, event.task, event.failure_type) if word)
    late = event.received_at - event.occurred_at
    detail = " ".join(event.said.split())
    if late.total_seconds() > 5:
        detail += f" (received {span(late)} after it happened)"
    return Line(event.received_at, "failure", words, detail, _page("monitorevent", event.pk), WARN)


def _webhook(webhook: WebhookEvent) -> Line:
    title = f"Webhook #{webhook.pk} received"
    alerts = "1 alert" if webhook.alerts == 1 else f"{webhook.alerts} alerts"
    changes = "1 change" if webhook.changes == 1 else f"{webhook.changes} changes"
    detail = f"{alerts}, {changes}, for {webhook.receiver or 'no receiver'}"
    return Line(webhook.received_at, "webhook", title, detail, _page("webhookevent", webhook.pk))


def _transition(row: AlertTransition) -> Line:
    detail = _SOURCES[row.source]
    if row.kind == "started_earlier" and row.starts_at:
        detail += f"; began {when(row.starts_at)}"
    elif row.kind in ("firing", "refired") and row.starts_at:
        detail += f"; heard {span(row.at - row.starts_at)} after it began"
    elif row.kind == "resolved" and row.ends_at:
        detail += f"; heard {span(row.at - row.ends_at)} after it ended"
    elif row.kind == "resolved":
        detail += "; the end itself is not known"
    return Line(
        row.at, "change", _CHANGES[row.kind], detail, _page("alerttransition", row.pk), _TONES.get(row.kind, PLAIN)
    )


def _notification(row: Notification) -> Line:
    title = f"{row.kind.capitalize()} is owed to {row.channel}"
    if row.kind == Notification.Kind.REPEAT:
        title = f"Repeat {row.ordinal} is owed to {row.channel}"
    detail, tone = _became(row)
    waits = row.first_due_at - row.created_at
    if waits.total_seconds() >= 1:
        detail = f"not before {when(row.first_due_at)}; {detail}"
    return Line(row.created_at, "owed", title, detail, _page("notification", row.pk), tone)


def _became(row: Notification) -> tuple[str, str]:
    state = Notification.State(row.state)
    if state == Notification.State.DELIVERED:
        return (
            f"delivered {span(row.delivered_at - row.cause_at)} after its cause" if row.delivered_at else "delivered"
        ), GOOD
    words = {
        "unconfirmed": ("every Alertmanager is asked before anybody is told", PLAIN),
        "owed": (
            f"waits after {row.attempts} failed tries ({row.reason})" if row.attempts else "waits to be sent",
            WARN,
        ),
        "sending": ("is being sent", PLAIN),
        "void": (f"void, not sent: {row.reason.replace('_', ' ') or 'no reason kept'}", WARN),
        "late": ("late: it could not be sent in time and was not told as if it were new", WARN),
        "in_digest": (f"told in the digest #{row.digest_id}", PLAIN),
        "dead": (f"dead: {row.reason.replace('_', ' ') or 'no reason kept'}; it waits for a person", BAD),
    }
    return words.get(state, (str(row.state), PLAIN))


def _attempt(row: DeliveryAttempt) -> Line:
    notification = row.notification
    words, tone = _OUTCOMES[row.outcome]
    title = f"Try {row.number} to {notification.channel}: {words}"
    parts = [f"{row.status} {row.answer}".strip()]
    if row.reason:
        parts.insert(0, row.reason.replace("_", " "))
    if row.milliseconds is not None:
        parts.append(f"took {row.milliseconds} ms")
    if row.outcome == DeliveryAttempt.Outcome.DELIVERED and notification.delivered_at:
        parts.append(f"told {span(notification.delivered_at - notification.cause_at)} after the webhook")
    if row.after_lease:
        parts.append("its claim had passed to another relay: it may have been told twice")
    parts.append(f"by {row.relay}")
    return Line(row.started_at, "try", title, "; ".join(filter(None, parts)), _page("deliveryattempt", row.pk), tone)


def _acknowledged(row: Acknowledgement) -> Line:
    return Line(
        row.at, "person", f"Acknowledged by {row.by}", row.note or "no note; no repeats from here on", tone=GOOD
    )


def _action(row: AuditEntry) -> Line:
    new = row.new or {}
    detail = "; ".join(f"{name}: {value}" for name, value in sorted(new.items()) if value not in ("", None))
    title = f"{_ACTIONS.get(row.action, row.action)} by {row.by}"
    return Line(row.at, "person", title, detail, _page("auditentry", row.pk))


_WORDS: dict[type, Callable[[Any], Line]] = {
    AlertTransition: _transition,
    Notification: _notification,
    DeliveryAttempt: _attempt,
    Acknowledgement: _acknowledged,
    AuditEntry: _action,
    MonitorEvent: _failure,
}


def _page(table: str, key: Any) -> str:
    return reverse(f"admin:userdb_{table}_change", args=[key])
