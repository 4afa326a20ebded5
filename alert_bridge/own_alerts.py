"""What the bridge says of itself, as alerts like any other: identity, episodes, messages owed, through the same ledgers.

In: findings of `conditions.py`. Out: rows, by the bridge's own clock, each alert in one transaction. Called by
`selfwatch.py`. A finding is *said* again and again while it holds; what nobody has said for a while has ended. So several
processes may say the same at once and open one episode, and a process that dies leaves nothing open for ever.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alert_bridge import ledgers
from alert_bridge.ledgers import Cause
from alert_bridge.outbox import Ledger
from alert_bridge.payload import AlertWord
from userdb.models import AlertIdentity, AlertTransition
from userdb.transactions import in_transaction

JOB = "alert-bridge"
RUNBOOKS = "https://github.com/mission-monitor/mission-monitor/blob/main/docs/runbooks/"
_PREFIX = "bridge-"
_CAUSE = Cause(AlertTransition.Source.BRIDGE)
_SOONER = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong now."""

    alertname: str
    severity: str
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """What tells it from others of the same name: which channel, which Alertmanager."""

    @property
    def all_labels(self) -> dict[str, str]:
        return {"alertname": self.alertname, "severity": self.severity, "job": JOB, **self.labels}

    @property
    def fingerprint(self) -> str:
        """Return its identity's key. No Alertmanager's has this prefix: theirs are 16 hex digits."""
        text = json.dumps(sorted(self.all_labels.items()), ensure_ascii=False)
        return _PREFIX + hashlib.sha256(text.encode()).hexdigest()[:40]

    @property
    def annotations(self) -> dict[str, str]:
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"{RUNBOOKS}{self.alertname}.md",
        }


def say(finding: Finding) -> bool:
    """Say that it holds; return whether that opened an episode (else it repeated the open one). Raises UserdbAway."""
    ledger = in_transaction(lambda: _say(finding))
    ledgers.count([ledger])
    return ledger.opened is not None


def _say(finding: Finding) -> Ledger:
    word = _word(finding.fingerprint, finding.all_labels, finding.annotations)
    ledger = ledgers.read([word])[finding.fingerprint]
    identity = ledger.identity
    # the same start while it is open is a repeat, whoever said it first; a clock that went back opens nothing stale
    later = max(_cut(ledger.now), identity.last_start + _SOONER) if identity.last_start else _cut(ledger.now)
    start = identity.open.highest_start if identity.open else later
    ledger.apply(_word(finding.fingerprint, finding.all_labels, finding.annotations, start), ledgers.destinations())
    ledgers.write([ledger], _CAUSE)
    rows = AlertIdentity.objects.filter(pk=finding.fingerprint)
    rows.update(origin=AlertIdentity.Origin.BRIDGE, heard_at=ledger.now)
    return ledger


def end(fingerprint: str, unsaid_for: timedelta) -> bool:
    """Close the open episode if nobody has said it for so long; return whether it was. Raises UserdbAway."""
    ledger = in_transaction(lambda: _end(fingerprint, unsaid_for))
    if ledger is not None:
        ledgers.count([ledger])
    return ledger is not None


def _end(fingerprint: str, unsaid_for: timedelta) -> Ledger | None:
    row = AlertIdentity.objects.filter(pk=fingerprint, origin=AlertIdentity.Origin.BRIDGE).first()
    if row is None:
        return None
    ledger = ledgers.read([_word(fingerprint, row.labels, {})])[fingerprint]
    # read again: the first look was without the lock, and somebody may have said it meanwhile
    row.refresh_from_db(fields=["heard_at"])
    episode = ledger.identity.open
    if episode is None or (row.heard_at is not None and ledger.now - row.heard_at < unsaid_for):
        return None
    start, now = episode.highest_start, _cut(ledger.now)
    ledger.apply(_word(fingerprint, row.labels, {}, start, max(now, start)), ledgers.destinations())
    episode.closed_by = "bridge"
    ledgers.write([ledger], _CAUSE)
    return ledger


def still_open(alertnames: frozenset[str]) -> list[str]:
    """Return the fingerprints of open episodes of these names, by the bridge's own word."""
    rows = AlertIdentity.objects.filter(
        origin=AlertIdentity.Origin.BRIDGE, state=AlertIdentity.State.FIRING, alertname__in=alertnames
    )
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _cut(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


_EPOCH = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


def _word(
    fingerprint: str,
    labels: dict[str, str],
    annotations: dict[str, str],
    start: datetime = _EPOCH,
    end: datetime | None = None,
) -> AlertWord:
    """Return a word of ours; with an end it is a resolved one. `ledgers.read` asks for no more than whose word it is."""
    return AlertWord(fingerprint, end is None, start, end, labels, annotations, "")
