"""Who was told and who was not, in words: one `Row` a channel. In: `queries.told`'s verdicts. Called by `alert.py`."""

from dataclasses import dataclass

from django.urls import reverse

from alert_bridge.pages.spans import span
from alert_bridge.queries.told import Held, Verdict
from userdb.models import Alert, Notification

_State = Notification.State


@dataclass(frozen=True, slots=True)
class Row:
    """One channel's line."""

    name: str
    url: str
    outcome: str
    """`told`, `dead`, `waits` or `not told`."""
    why: str
    tone: str


def put(alert: Alert, verdicts: list[Verdict], acknowledged: bool) -> list[Row]:
    """Return the lines, those that were told first."""
    rows = [_row(alert, verdict, acknowledged) for verdict in verdicts]
    order = ("dead", "waits", "told", "not told")
    return sorted(rows, key=lambda row: (order.index(row.outcome), row.name))


def _row(alert: Alert, verdict: Verdict, acknowledged: bool) -> Row:
    url = reverse("admin:userdb_channel_change", args=[verdict.channel.pk])
    what = "; ".join(_held(held) for held in sorted(verdict.held, key=_place))
    if verdict.dead:
        return Row(verdict.channel.name, url, "dead", what, "bad")
    if any(held.state in Notification.WAITING for held in verdict.held):
        return Row(verdict.channel.name, url, "waits", what, "warn")
    if verdict.told or any(held.state == _State.IN_DIGEST for held in verdict.held):
        if alert.state == Alert.State.FIRING:
            if acknowledged:
                what += "; no repeats: it is acknowledged"
            elif verdict.channel.repeat_after is None:
                what += "; the channel wants no repeats"
        return Row(verdict.channel.name, url, "told", what, "good")
    return Row(verdict.channel.name, url, "not told", "; ".join(filter(None, (what, _silent(alert, verdict)))), "plain")


def _silent(alert: Alert, verdict: Verdict) -> str:
    """Return why a channel that holds nothing valid of the episode was not told."""
    if verdict.why_not:
        return verdict.why_not
    if alert.state == Alert.State.FIRING:
        return "it wants it: it is told at the next webhook that says it fires"
    return "it would want it now; nothing was owed to it while it fired (made, switched on or changed later)"


def _place(held: Held) -> tuple[int, str]:
    kinds = ("firing", "refired", "repeat", "resolved", "digest")
    return (kinds.index(held.kind), held.state)


def _held(held: Held) -> str:
    what = f"{held.count} {held.kind}s" if held.count > 1 else held.kind
    reason = held.reason.replace("_", " ")
    if held.state == _State.DELIVERED:
        if held.count == 1 and held.first_delivered and held.first_cause:
            return f"{what} delivered after {span(held.first_delivered - held.first_cause)}"
        return f"{what} delivered"
    words = {
        "unconfirmed": "waits until every Alertmanager was asked",
        "owed": f"waits to be sent{f' ({reason})' if reason else ''}",
        "sending": "is being sent",
        "void": f"void ({reason or 'no reason kept'})",
        "late": "came too late to be told as new",
        "in_digest": "told in a digest",
        "dead": f"dead ({reason or 'no reason kept'})",
    }
    return f"{what} {words.get(held.state, held.state)}"
