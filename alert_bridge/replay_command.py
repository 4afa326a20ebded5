"""`alert-bridge replay`: which webhooks, and what it says of each. Called by `cli.py`; the work is `replay.py`'s.

One line a webhook that changes something, or can't be read, on standard output, then a line of sums. What has been done is
committed webhook by webhook: a replay that was stopped is started again with the same words.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError
from django.db.models import Q, QuerySet

from alert_bridge import replay
from alert_bridge.replay import Outcome
from runtime.flags import duration
from runtime.settings import SettingsError
from userdb import audit, clock
from userdb.models import AuditEntry, Channel, WebhookEvent
from userdb.transactions import UserdbAway

_NAMED = 3
"""Alerts that a line names; of the others it says how many."""


def _rows(arguments: argparse.Namespace) -> QuerySet[WebhookEvent]:
    rows = WebhookEvent.objects.all()
    if arguments.ids:
        chosen = Q()
        for part in arguments.ids:
            chosen |= Q(pk__gte=part.first) & (Q() if part.last is None else Q(pk__lte=part.last))
        rows = rows.filter(chosen)
    if arguments.since is not None:
        moment = arguments.since
        rows = rows.filter(received_at__gte=clock.now() - duration(moment) if isinstance(moment, str) else moment)
    return rows


@dataclass
class Sums:
    """What a replay came to in all."""

    webhooks: int = 0
    changed: int = 0
    unreadable: int = 0
    last: int | None = None
    older: int = 0
    odd: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    owed: Counter[int] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        self.webhooks += 1
        self.last = outcome.id
        self.changed += bool(outcome.changes)
        self.unreadable += bool(outcome.error)
        self.older += outcome.older
        self.odd += len(outcome.odd)
        self.kinds.update(change.kind for change in outcome.changes)
        self.owed.update(told.channel for told in outcome.owed)

    def text(self, channels: dict[int, str], dry_run: bool) -> str:
        would = "would be " if dry_run else ""
        owed = {channels.get(number, f"channel {number}"): count for number, count in sorted(self.owed.items())}
        return (
            f"{self.webhooks} webhooks read, {self.changed} {would}applied: "
            f"{self.kinds.total()} changes{_counted(self.kinds)}, {self.owed.total()} messages owed{_counted(owed)}; "
            f"{self.older} alerts left alone, of which something newer is known; {self.odd} entries still odd, "
            f"{self.unreadable} webhooks still unreadable"
        )


def _counted(counts: "Counter[str] | dict[str, int]") -> str:
    return f" ({', '.join(f'{count} {name}' for name, count in counts.items())})" if counts else ""


def line(outcome: Outcome) -> str | None:
    """Return what is said of one webhook; None when there is nothing to say."""
    head = f"#{outcome.id} {outcome.received_at:%Y-%m-%dT%H:%M:%SZ}:"
    if outcome.error:
        return f"{head} still unreadable: {outcome.error}"
    parts = []
    if outcome.changes:
        named = [f"{c.alertname or 'no name'} {c.fingerprint} {c.kind}" for c in outcome.changes[:_NAMED]]
        more = len(outcome.changes) - len(named)
        parts.append(f"{len(outcome.changes)} changes ({', '.join(named)}{f', {more} more' if more else ''})")
        parts.append(f"{len(outcome.owed)} messages owed")
    if outcome.odd:
        parts.append(f"still odd: {'; '.join(outcome.odd[:_NAMED])}")
    return f"{head} {', '.join(parts)}" if parts else None


def _say(outcomes: Iterable[Outcome], sums: Sums) -> None:
    for outcome in outcomes:
        sums.add(outcome)
        said = line(outcome)
        if said is not None:
            sys.stdout.write(said + "\n")


def run(arguments: argparse.Namespace) -> int:
    """Replay what the arguments name; return 0, or raise SettingsError with the last webhook that was done."""
    sums = Sums()
    try:
        channels = dict(Channel.objects.values_list("pk", "name"))
        _say(replay.run(_rows(arguments), arguments.all, arguments.dry_run), sums)
        if sums.changed and not arguments.dry_run:
            _record(arguments, sums)
    except (UserdbAway, DatabaseError, InterfaceError) as error:
        done = f"stopped after #{sums.last}" if sums.last else "nothing was done"
        raise SettingsError(f"{done}: {error}; run it again when userdb is back: what was applied stays") from error
    sys.stdout.write(sums.text(channels, arguments.dry_run) + "\n")
    return 0


def _record(arguments: argparse.Namespace, sums: Sums) -> None:
    which = ", ".join(map(str, arguments.ids)) or "all"
    AuditEntry.objects.create(
        by=audit.command_line()[:150], action="replay", kind="webhookevent", object_id="", name=f"webhooks: {which}"[:255],
        new={"all": arguments.all, "webhooks": sums.changed, "changes": sums.kinds.total(), "owed": sums.owed.total()},
    )  # fmt: skip
