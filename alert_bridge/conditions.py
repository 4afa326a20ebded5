"""What the bridge watches of itself and of the chain: a table of conditions, each judged on one `Readings`. Pure.

Called by `selfwatch.py`, which says what a condition finds once it has held for a while, and ends it when it is gone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from alert_bridge.own_alerts import Finding
from alert_bridge.readings import FAILING, Readings
from runtime.settings import env_number

REFUSED = 3
"""Webhooks refused within the window that make it more than an accident."""
_UNTRIED, _STUCK = timedelta(minutes=2), timedelta(minutes=5)
_SILENT = timedelta(minutes=2)
_ASKED = timedelta(minutes=10)
"""An Alertmanager that was not asked for so long is none of ALERTMANAGER_URL any more, or nobody reconciles."""


def watchdog_timeout() -> timedelta:
    """Return how long Watchdog may stay away (WATCHDOG_TIMEOUT, seconds); zero: nobody waits for it."""
    return timedelta(seconds=env_number("WATCHDOG_TIMEOUT", 300.0, 0.0, 86400.0))


def slow_commit() -> float:
    """Return the seconds above which a small commit is slow (USERDB_SLOW)."""
    return env_number("USERDB_SLOW", 1.0, 0.01, 60.0)


@dataclass(frozen=True, slots=True)
class Sign:
    """What a condition sees."""

    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """What tells it from others of the same condition: which channel, which Alertmanager."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of the table."""

    alertname: str
    severity: str
    signs: Callable[[Readings], Iterator[Sign]]
    holds_for: timedelta = timedelta(0)
    """How long it has to hold before it is said; most of them read from userdb since when they do."""

    def find(self, readings: Readings) -> list[Finding]:
        """Return what is wrong now."""
        signs = self.signs(readings)
        return [Finding(self.alertname, self.severity, s.summary, s.description, s.labels) for s in signs]


def _watchdog(r: Readings) -> Iterator[Sign]:
    limit = watchdog_timeout()
    if limit and r.age(r.watchdog_heard) > limit:
        yield Sign(
            f"Watchdog has not been heard for {_words(limit)}: alerts may not arrive",
            "The way from Prometheus over Alertmanager to the bridge is cut somewhere. What fires now may be told to nobody.",
        )


def _alertmanager(r: Readings) -> Iterator[Sign]:
    for peer in r.peers:
        asked_lately = peer.asked_at is not None and r.now - peer.asked_at < _ASKED
        if peer.error and asked_lately and r.age(peer.answered_at) > _SILENT:
            yield Sign(
                f"{peer.url} does not answer",
                f"{peer.error} While one Alertmanager is silent, reconciliation closes nothing: alerts whose end was never "
                "sent stay open. If it is gone for good, take it out of ALERTMANAGER_URL and restart the bridge.",
                {"alertmanager": peer.url},
            )


def _unsent(r: Readings) -> Iterator[Sign]:
    if r.unsent:
        yield Sign(
            f"alerts fire that Alertmanager never sent: {r.unsent}",
            "Reconciliation found them under our receiver, and nobody was told. Muted by a time interval they are no fault.",
        )


def _channel(r: Readings) -> Iterator[Sign]:
    for channel in r.channels:
        failing = channel.failing_since is not None and r.now - channel.failing_since > FAILING
        if not channel.reached and (failing or channel.dead):
            yield Sign(
                f"nothing reaches the channel {channel.name}",
                f"Every try of the last {_words(FAILING)} failed, or was refused for good. Who is told by this channel alone "
                "is told nothing.",
                {"channel": channel.name},
            )


def relay_gone(r: Readings) -> Iterator[Sign]:
    untried = [c.untried_since for c in r.channels if c.untried_since is not None]
    tried_lately = r.last_try is not None and r.now - r.last_try <= _UNTRIED
    if untried and r.now - min(untried) > _UNTRIED and not tried_lately:
        yield Sign(
            "messages are due, and no relay sends",
            f"What is owed has been waiting for more than {_words(_UNTRIED)}, and no relay has tried to send anything since.",
        )


def _outbox(r: Readings) -> Iterator[Sign]:
    for channel in r.channels:
        # behind a message that fails all others of its alert wait: that is the channel's trouble
        if channel.untried_since is None or channel.failing_since is not None:
            continue
        if r.now - channel.untried_since > _STUCK:
            yield Sign(
                f"messages to {channel.name} wait untried",
                f"A message to this channel has been due for more than {_words(_STUCK)}, and no relay has tried it.",
                {"channel": channel.name},
            )


def _userdb(r: Readings) -> Iterator[Sign]:
    if r.probe_seconds > slow_commit():
        yield Sign(
            f"userdb takes more than {slow_commit():g} s for a small commit",
            "Webhooks have 6 s in all: what userdb does not take in time is answered with 503 and comes again.",
        )


def _storm(r: Readings) -> Iterator[Sign]:
    if r.refusals.get("storm", 0) >= REFUSED:
        yield Sign(
            "more webhooks arrive than the bridge can take on",
            "Some are answered with 503 at once and come again: alerts are late, and one that ends meanwhile may never come.",
        )


def _token(r: Readings) -> Iterator[Sign]:
    if r.refusals.get("unauthorized", 0) >= REFUSED:
        yield Sign(
            "webhooks come with a wrong token",
            "Alertmanager's token is not one of WEBHOOK_TOKEN: was one side rotated alone? Its alerts are told to nobody.",
        )


OF_THE_CHAIN = (
    Condition("WatchdogMissing", "critical", _watchdog),
    Condition("AlertmanagerSilent", "error", _alertmanager),
    Condition("AlertsNotSent", "warning", _unsent),
    Condition("ChannelDead", "critical", _channel),
    Condition("RelayGone", "critical", relay_gone),
    Condition("OutboxStuck", "error", _outbox),
    Condition("UserdbSlow", "warning", _userdb, timedelta(minutes=1)),
)
"""What userdb tells every process that watches."""
OF_WEBHOOKS = (
    Condition("WebhookStorm", "error", _storm),
    Condition("WebhookTokenRefused", "error", _token),
)
"""What only the process that took or refused the webhooks knows."""
ALL = OF_THE_CHAIN + OF_WEBHOOKS


def _words(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
