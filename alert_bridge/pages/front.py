"""The front page's words: warnings first, then what fires, then the chain. In: `queries.overview`. Called by `site.py`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse

from alert_bridge.pages.spans import span
from alert_bridge.queries import overview
from alert_bridge.queries.overview import Overview
from userdb.models import AlertmanagerPeer

_PEER_SILENT = timedelta(minutes=3)
_OWED_LATE = timedelta(minutes=1)
_RELAY_IDLE = timedelta(minutes=5)
_WATCHDOG_SILENT = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the chain and its last word."""

    name: str
    word: str
    tone: str = "plain"
    url: str = ""


def show() -> dict[str, Any]:
    """Return the template's values."""
    found = overview.read()
    return {
        "overview": found,
        "parts": _parts(found),
        "nobody_is_told": not any(channel.enabled for channel in found.channels),
        "failing": [
            (channel, found.troubles[channel.pk]) for channel in found.channels if channel.pk in found.troubles
        ],
        "severities": (*overview.SEVERITIES, "other"),
    }


def _parts(found: Overview) -> list[Part]:
    return [
        _webhooks(found),
        _watchdog(found),
        _relay(found),
        _dead(found),
        *(_peer(peer, found.now) for peer in found.peers),
        *_reconcile(found),
    ]


def _since(now: datetime, moment: datetime) -> str:
    return f"{span(now - moment)} ago"


def _webhooks(found: Overview) -> Part:
    url = reverse("admin:userdb_webhookevent_changelist")
    if found.last_webhook is None:
        return Part(
            "webhooks",
            "None came yet: Alertmanager's receiver is /webhooks/alertmanager, with WEBHOOK_TOKEN.",
            "warn",
            url,
        )
    return Part("webhooks", f"The last one came {_since(found.now, found.last_webhook)}.", url=url)


def _watchdog(found: Overview) -> Part:
    heard = found.watchdog_heard
    if heard is None:
        return Part("Watchdog", "Never heard: without it nobody notices when alerts stop coming.", "warn")
    tone = "bad" if found.now - heard > _WATCHDOG_SILENT else "good"
    return Part("Watchdog", f"Last heard {_since(found.now, heard)}.", tone)


def _relay(found: Overview) -> Part:
    url = reverse("admin:userdb_notification_outbox")
    last = f" Its last try was {_since(found.now, found.last_attempt)}." if found.last_attempt else " It never tried."
    if found.late_owed is None:
        return Part("relay", f"Nothing that is due waits.{last}", "good", url)
    waits = found.now - found.late_owed
    tone = "bad" if waits > _OWED_LATE else "good"
    waiting = "1 waits" if found.waiting == 1 else f"{found.waiting} wait"
    idle = found.last_attempt is None or found.now - found.last_attempt > _RELAY_IDLE
    hint = " Does alert-bridge relay run?" if tone == "bad" and idle else ""
    return Part("relay", f"{waiting}, the oldest has been due for {span(waits)}.{last}{hint}", tone, url)


def _dead(found: Overview) -> Part:
    url = reverse("admin:userdb_notification_outbox")
    if not found.dead:
        return Part("dead letters", "None.", "good", url)
    return Part("dead letters", f"{found.dead} could not be delivered: a person has to send them again.", "bad", url)


def _peer(peer: AlertmanagerPeer, now: datetime) -> Part:
    name, url = f"Alertmanager {peer.url}", reverse("admin:userdb_alertmanagerpeer_changelist")
    if peer.error:
        return Part(
            name, f"Does not answer: {peer.error[:200]} Nothing is closed by reconciliation meanwhile.", "bad", url
        )
    if peer.answered_at is None:
        return Part(name, "Was not asked yet.", "plain", url)
    return Part(name, f"Answered {_since(now, peer.answered_at)}, listed {peer.firing} alerts.", "good", url)


def _reconcile(found: Overview) -> list[Part]:
    url = reverse("admin:userdb_alertmanagerpeer_changelist")
    asked = [peer.asked_at for peer in found.peers if peer.asked_at is not None]
    if not asked:
        return [Part("reconciliation", "Has asked nobody yet: start alert-bridge reconcile.", "warn", url)]
    silent = found.now - max(asked)
    if silent > _PEER_SILENT:
        return [Part("reconciliation", f"Last asked {span(silent)} ago. Does alert-bridge reconcile run?", "bad", url)]
    return [Part("reconciliation", f"Asked {span(silent)} ago.", "good", url)]
