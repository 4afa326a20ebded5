"""Writes what reconciliation has found out, at most 100 alerts a transaction. Called by `reconcile.py`.

Each alert's identity is locked and read again, as for a webhook; what has changed since the Alertmanagers were asked is left
alone. So two reconcilers, or one beside the webhooks, write each thing once.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from alert_bridge import ledgers, statements
from alert_bridge.alertmanagers import Listed
from alert_bridge.comparison import Known, Mark, mark_of
from alert_bridge.ledgers import Cause
from alert_bridge.outbox import Ledger
from alert_bridge.payload import AlertWord
from userdb.models import Alert, AlertIdentity, AlertTransition
from userdb.transactions import in_transaction

BATCH = 100

T = TypeVar("T")
_CAUSE = Cause(AlertTransition.Source.RECONCILIATION)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def close(alerts: Sequence[Known]) -> int:
    """Close open alerts that ended unheard, and owe their ends; return how many were still as they had been."""
    return _in_batches(alerts, _close)


def supersede(alerts: Sequence[tuple[Known, Listed]]) -> int:
    """Close open alerts that ended and began again unheard, open the next episode of each, and owe its firing."""
    return _in_batches(alerts, _supersede)


def store(alerts: Sequence[Listed]) -> int:
    """Open episodes of alerts that were never sent; nothing is owed before a webhook brings them."""
    return _in_batches(alerts, _store)


def mark(marks: Sequence[Mark]) -> int:
    """Say of open alerts what suppresses them."""
    for batch in _batches(sorted(marks, key=lambda found: found.fingerprint)):
        in_transaction(partial(_mark, batch))
    return len(marks)


def _in_batches(rows: Sequence[T], write: Callable[[Sequence[T]], list[Ledger]]) -> int:
    written = 0
    for batch in _batches(rows):
        changed = in_transaction(partial(write, batch))
        ledgers.count(changed)
        written += len(changed)
    return written


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(rows), BATCH):
        yield rows[first : first + BATCH]


def _close(alerts: Sequence[Known]) -> list[Ledger]:
    known, destinations = _locked([alert.fingerprint for alert in alerts]), ledgers.destinations()
    changed = [known[alert.fingerprint] for alert in alerts if _unchanged(known, alert)]
    for ledger in changed:
        ledger.end_unheard(destinations)
    ledgers.write(changed, _CAUSE)
    return changed


def _supersede(alerts: Sequence[tuple[Known, Listed]]) -> list[Ledger]:
    known, destinations = _locked([alert.fingerprint for alert, _ in alerts]), ledgers.destinations()
    changed = []
    for alert, listed in alerts:
        if _unchanged(known, alert):
            changed.append(known[alert.fingerprint])
            changed[-1].apply(_word(listed), destinations)
    ledgers.write(changed, _CAUSE)
    return changed


def _store(alerts: Sequence[Listed]) -> list[Ledger]:
    known = ledgers.read([_word(listed) for listed in alerts])
    changed = []
    for listed in alerts:
        ledger = known[listed.fingerprint]
        if ledger.identity.open is None:
            # the identity alone, not the outbox: what is owed of earlier episodes stays owed
            ledger.identity.apply(_word(listed))
            if ledger.identity.changes:
                changed.append(ledger)
    ledgers.write(changed, _CAUSE)
    for ledger in changed:
        if ledger.identity.changes[-1].kind == AlertTransition.Kind.REFIRED:
            # a webhook brought what it was before, not what it is now
            last = Alert.objects.filter(identity=ledger.identity.fingerprint, number=ledger.identity.episodes)
            last.update(first_webhook=None)
    fresh = {ledger.identity.fingerprint for ledger in changed}
    _mark([mark_of([listed]) for listed in alerts if listed.fingerprint in fresh])
    return changed


def _mark(marks: Sequence[Mark]) -> None:
    statements.MARK.run((m.fingerprint, m.suppression, list(m.suppressed_by) or None) for m in marks)


def _locked(fingerprints: Sequence[str]) -> dict[str, Ledger]:
    labels = dict(AlertIdentity.objects.filter(pk__in=fingerprints).values_list("fingerprint", "labels"))
    return ledgers.read([AlertWord(name, True, _LONG_AGO, None, found, {}, "") for name, found in labels.items()])


def _unchanged(known: dict[str, Ledger], alert: Known) -> bool:
    ledger = known.get(alert.fingerprint)
    return ledger is not None and ledger.identity.version == alert.version and ledger.identity.open is not None


def _word(listed: Listed) -> AlertWord:
    return AlertWord(
        listed.fingerprint,
        True,
        listed.start or _LONG_AGO,
        None,
        listed.labels,
        listed.annotations,
        listed.generator_url,
    )
