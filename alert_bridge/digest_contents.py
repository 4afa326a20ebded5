"""What a digest tells: its members, and how their alerts stand now. Read by `claims.py` in the transaction that begins a try.

So a digest that is sent hours after it was made tells what fires still, and what came and went meanwhile.
"""

from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from userdb.models import Alert, Notification

WORST = 10
"""Alerts that people are shown by name; machines are told all."""
_SEVERITIES = ("critical", "error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Member:
    """One notification of a digest, and its alert."""

    key: str
    kind: str
    reason: str
    caused_at: datetime
    counts_from: datetime
    """When it could first have been told."""
    alert: int
    episode: int
    fingerprint: str
    alertname: str
    tenant: str
    severity: str
    firing: bool
    starts_at: datetime
    ends_at: datetime | None

    @property
    def badness(self) -> tuple[bool, int, datetime, int]:
        """What fires first, the worst severity first, the longest first."""
        severity = _SEVERITIES.index(self.severity) if self.severity in _SEVERITIES else len(_SEVERITIES)
        return (not self.firing, severity, self.starts_at, self.alert)


@dataclass(frozen=True, slots=True)
class Group:
    """The alerts of a digest that have name, tenant and severity in common."""

    alertname: str
    tenant: str
    severity: str
    firing: int
    resolved: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a digest tells."""

    members: tuple[Member, ...]
    summaries: dict[int, str]
    """Of the worst alerts, by their id."""

    @property
    def alerts(self) -> list[Member]:
        """One member for each alert, the worst first."""
        return sorted({member.alert: member for member in self.members}.values(), key=lambda member: member.badness)

    @property
    def firing(self) -> int:
        return sum(member.firing for member in self.alerts)

    @property
    def kinds(self) -> dict[str, int]:
        """How many members there are of each kind."""
        counted = Tally(member.kind for member in self.members)
        return {kind: counted[kind] for kind in Notification.Kind.values if counted[kind]}

    @property
    def late(self) -> int:
        return sum(member.reason == "late" for member in self.members)

    @property
    def groups(self) -> list[Group]:
        """The alerts by name, tenant and severity; those of which the worst is a member first."""
        counts: dict[tuple[str, str, str], list[int]] = {}
        for alert in self.alerts:
            count = counts.setdefault((alert.alertname, alert.tenant, alert.severity), [0, 0])
            count[not alert.firing] += 1
        return [Group(*key, *count) for key, count in counts.items()]


def _members(digest: Notification) -> Iterable[Member]:
    rows = digest.members.filter(state=Notification.State.IN_DIGEST).order_by("pk")
    for row in rows.values_list(
        "key", "kind", "reason", "cause_at", "created_at", "first_due_at", "alert", "alert__number", "identity",
        "identity__alertname", "identity__tenant", "identity__severity", "alert__state", "alert__starts_at",
        "alert__ends_at",
    ):  # fmt: skip
        (key, kind, reason, caused, created, first_due, alert, number, fingerprint, name, tenant, severity, state, start,
         end) = row  # fmt: skip
        yield Member(
            key, kind, reason, caused, caused + (first_due - created), alert, number, fingerprint, name, tenant, severity,
            state == Alert.State.FIRING, start, end,
        )  # fmt: skip


def read(digest: Notification) -> Contents:
    """Return what the digest tells now. Two statements, whatever the number of its members."""
    members = tuple(_members(digest))
    worst = [member.alert for member in Contents(members, {}).alerts[:WORST]]
    notes = Alert.objects.filter(pk__in=worst).values_list("pk", "annotations")
    # what somebody wrote by hand into the row must not keep the digest from being sent
    summaries = {pk: str(found.get("summary", "")) for pk, found in notes if isinstance(found, dict)}
    return Contents(members, summaries)
