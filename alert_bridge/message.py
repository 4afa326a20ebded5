"""One notification as a message for people and for machines. Called by `relay.py`, read by `channels/`."""

from datetime import UTC, datetime
from typing import Any

from alert_bridge.channels.base import Message
from runtime.settings import env_text
from userdb.models import Alert, AlertIdentity, Notification

DOCUMENT_VERSION = "1"
_TITLE, _PARAGRAPH, _VALUE = 250, 5_000, 500
"""Characters that a person is shown of a title, an annotation, a label; `document` holds them whole."""


def bridge_url() -> str:
    """Return the address under which people reach the admin pages (BRIDGE_URL), without a slash at its end."""
    return env_text("BRIDGE_URL", "http://127.0.0.1:8000").rstrip("/")


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def _verb(notification: Notification, alert: Alert, firing_was_told: bool) -> str:
    if notification.kind != Notification.Kind.RESOLVED:
        return {"firing": "FIRING", "refired": "FIRING AGAIN", "repeat": "STILL FIRING"}[notification.kind]
    return "RESOLVED" if firing_was_told else "WAS FIRING, IS RESOLVED"


def write(notification: Notification, firing_was_told: bool) -> Message:
    """Return the message of a notification; `firing_was_told`: did this channel ever take a firing of the episode?"""
    alert = notification.alert
    assert alert is not None  # noqa: S101  (every kind that is sent today belongs to an episode)
    identity = alert.identity
    resolved = notification.kind == Notification.Kind.RESOLVED
    url = f"{bridge_url()}/admin/userdb/alert/{alert.pk}/change/"
    summary = alert.annotations.get("summary", "")
    verb = _verb(notification, alert, firing_was_told)
    # one line: it becomes a subject
    title = _cut(" ".join(f"[{verb}] {_name(identity)}{': ' if summary else ''}{summary}".split()), _TITLE)
    ends = _iso(alert.ends_at) or "not known" if resolved else None
    text = _text(alert, f"{verb}: {_name(identity)}", ends, url)
    document: dict[str, Any] = {
        "version": DOCUMENT_VERSION,
        "key": notification.key,
        "kind": notification.kind,
        "status": "resolved" if resolved else "firing",
        "firing_was_told": firing_was_told,
        "title": title,
        "fingerprint": identity.fingerprint,
        "episode": alert.number,
        "labels": identity.labels,
        "annotations": alert.annotations,
        "starts_at": _iso(alert.starts_at),
        "ends_at": _iso(alert.ends_at) if resolved else None,
        "generator_url": alert.generator_url,
        "alert_url": url,
        "caused_at": _iso(notification.cause_at),
    }
    # by the notification's own time, so that every try carries the same date
    return Message(notification.key, notification.kind, title, text, url, document, notification.created_at)


def _name(identity: AlertIdentity) -> str:
    """Return what people call the alert; one without a name (its rule has none, or it was posted by hand) by its hash."""
    name = identity.alertname or f"Alert {identity.fingerprint}"
    return f"{name} ({identity.tenant})" if identity.tenant else name


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}… (cut: {len(text)} characters in all)"


def _text(alert: Alert, first: str, ends: str | None, url: str) -> str:
    lines = [first, ""]
    for name in ("summary", "description"):
        if alert.annotations.get(name):
            lines += [_cut(alert.annotations[name], _PARAGRAPH), ""]
    lines += [f"Since:  {_iso(alert.starts_at)}"]
    if ends:
        lines += [f"Ended:  {ends}"]
    labels = sorted(alert.identity.labels.items())
    lines += ["", "Labels:"] + [f"  {name} = {_cut(' '.join(value.split()), _VALUE)}" for name, value in labels]
    lines += ["", f"Who was told, and when: {url}"]
    if alert.generator_url:
        lines += [f"In Prometheus: {_cut(alert.generator_url, _PARAGRAPH)}"]
    if alert.annotations.get("runbook_url"):
        lines += [f"What to do: {_cut(alert.annotations['runbook_url'], _VALUE)}"]
    return "\n".join(lines) + "\n"
