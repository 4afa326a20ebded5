"""Who was told of one episode and who was not, and why: one `Verdict` a channel. Called by the alert's page.

What a channel wants is judged by its settings of now; they are not kept as they were.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Max, Min

from userdb import quiet_hours
from userdb.clock import now as userdb_now
from userdb.matchers import parse
from userdb.models import Alert, Channel, Notification

CHANNELS = 200
_State = Notification.State


@dataclass(slots=True)
class Held:
    """What a channel holds of the episode of one kind in one state."""

    kind: str
    state: str
    count: int
    first_delivered: datetime | None
    first_cause: datetime | None
    reason: str


@dataclass(slots=True)
class Verdict:
    """One channel and its part in the episode."""

    channel: Channel
    held: list[Held] = field(default_factory=list)
    why_not: str = ""
    """Why its settings of now would not tell it; "" when they would."""

    @property
    def told(self) -> bool:
        return any(held.state == _State.DELIVERED for held in self.held)

    @property
    def dead(self) -> bool:
        return any(held.state == _State.DEAD for held in self.held)


def verdicts(alert: Alert) -> list[Verdict]:
    """Return a verdict of each channel, at most 200, by name: two statements and the time."""
    rows = Notification.objects.filter(alert=alert).order_by().values("channel", "kind", "state")
    counted = rows.annotate(
        count=Count("pk"), delivered=Min("delivered_at"), cause=Min("cause_at"), reasons=Max("reason")
    )
    held: dict[int, list[Held]] = {}
    for row in counted:
        found = Held(row["kind"], row["state"], row["count"], row["delivered"], row["cause"], row["reasons"])
        held.setdefault(row["channel"], []).append(found)
    now = userdb_now()
    made = []
    for channel in Channel.objects.defer("secret_token", "config").order_by("name")[:CHANNELS]:
        made.append(Verdict(channel, held.get(channel.pk, []), _why_not(channel, alert, now)))
    return made


def _why_not(channel: Channel, alert: Alert, now: datetime) -> str:
    """Return why a channel would not be told of this alert, or would be only later; "" when it would at once."""
    labels = alert.identity.labels
    if not channel.enabled:
        return "it is off"
    if channel.tenants and labels.get("tenant", "").strip() not in channel.tenants:
        return f"it wants the alerts of {', '.join(map(str, channel.tenants))} alone"
    try:
        matchers = parse(channel.matchers)
    except ValueError as error:
        return f"its matchers can't be read: {error}"
    for matcher in matchers:
        if not matcher.holds(labels):
            return f"it wants {matcher.name}{matcher.operator}{matcher.value!r}"
    if labels.get("alertname") == "Watchdog" and not any(
        m.name == "alertname" and m.operator in ("=", "=~") for m in matchers
    ):
        return "Watchdog is told only where a matcher names it"
    quiet = quiet_hours.of(channel.quiet_start, channel.quiet_end, channel.quiet_zone, channel.quiet_critical)
    until = quiet.until(now, labels) if quiet else None
    return f"its quiet hours last until {until:%F %R} UTC" if until else ""
