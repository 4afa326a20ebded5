"""Asks the Alertmanagers whether an alert really returned, before anybody is told: a pair may send a stale firing.

In: episodes whose notifications are `unconfirmed` (`outbox.py`). Out: these are owed, or the episode is closed and they are
void. Called by `relay.py` beside its sends, as soon as there is something to ask about. All Alertmanagers are asked outside
any transaction, once for all these episodes; what was decided is written under the identities' locks, and only where nothing
has changed since the question. So several relays may ask at once, and one that dies between question and decision leaves
the question to the next.

| the Alertmanagers say | then |
|---|---|
| any lists it, suppressed or not | owed |
| all answered, none lists it, none is young | closed: `unconfirmed`; nobody is told |
| one did not answer in time, or was just started | owed: better a word too many than none |
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import DatabaseError, InterfaceError, connections
from django.db.models import F
from prometheus_client import Counter

from alert_bridge import alertmanagers, ledgers, statements
from alert_bridge.alertmanagers import View
from alert_bridge.ledgers import Cause
from alert_bridge.outbox import Ledger
from alert_bridge.payload import AlertWord
from runtime.settings import SettingsError, env_number
from userdb.models import AlertIdentity, AlertTransition, Notification
from userdb.router import alias
from userdb.transactions import UserdbAway, in_transaction

log = logging.getLogger(__name__)

RESULTS = ("listed", "not_listed", "in_doubt", "overtaken")
CONFIRMATIONS = Counter(
    "mission_confirmations_total",
    "Returned alerts that the Alertmanagers were asked about, by what came of it.",
    ["result"],
)
for _result in RESULTS:
    CONFIRMATIONS.labels(_result)

_MOST = 1000
"""Episodes that one question is about: the answer is the whole list of alerts, whatever their number."""
_BATCH = 25
"""Episodes that one transaction decides; each has a notification for every channel that wants it."""


def minimum_uptime() -> timedelta:
    """Return for how long an Alertmanager is young (ALERTMANAGER_MIN_UPTIME, seconds): after a start its list is empty
    until Prometheus has posted again, 1 min with its default resend delay."""
    return timedelta(seconds=env_number("ALERTMANAGER_MIN_UPTIME", 300, 0, 86_400))


@dataclass(frozen=True, slots=True)
class Question:
    """One episode that is asked about, as it was before the question."""

    fingerprint: str
    version: int
    labels: dict[str, str]


def pending() -> bool:
    """Return whether something waits for the Alertmanagers' word. One indexed statement."""
    return Notification.objects.filter(state=Notification.State.UNCONFIRMED).exists()


def run() -> None:
    """Ask and decide in a thread of its own, and end its connection; what can't be decided now is asked about again."""
    try:
        decide(questions())
    except (DatabaseError, InterfaceError, UserdbAway) as error:
        log.error("userdb away", extra={"error": str(error)})
    except Exception:
        log.exception("the Alertmanagers' word about returned alerts could not be written")
    finally:
        connections[alias()].close()


def questions() -> list[Question]:
    """Return the episodes to ask about, as they are now."""
    waiting = Notification.objects.filter(state=Notification.State.UNCONFIRMED).order_by()
    found = list(waiting.values_list("identity_id", flat=True).distinct()[:_MOST])
    rows = AlertIdentity.objects.filter(pk__in=found).order_by("pk")
    return [Question(*row) for row in rows.values_list("fingerprint", "version", "labels")]


def decide(asked: list[Question]) -> dict[str, int]:
    """Ask the Alertmanagers about these episodes, write what follows, and return how many had which result."""
    if not asked:
        return {}
    view = _ask()
    doubt = view.doubt(minimum_uptime())
    listed = view.fingerprints()
    counts = dict.fromkeys(RESULTS, 0)
    for batch in _batches(asked):
        results, changed = in_transaction(partial(_decide, batch, listed, doubt is not None))
        ledgers.count(changed)
        for result in results:
            counts[result] += 1
            CONFIRMATIONS.labels(result).inc()
    log.info("returned alerts asked about", extra={**counts, "doubt": doubt or "none"})
    return counts


def _ask() -> View:
    try:
        return alertmanagers.ask_all()
    except SettingsError as error:  # a file that was right at the start; the alert is told all the same
        return View(errors={"": str(error)})


def _batches(asked: list[Question]) -> Iterator[list[Question]]:
    for first in range(0, len(asked), _BATCH):
        yield asked[first : first + _BATCH]


def _decide(asked: list[Question], listed: set[str], doubt: bool) -> tuple[list[str], list[Ledger]]:
    known = ledgers.read([_word(question) for question in asked])
    ends = _ends([question.fingerprint for question in asked])
    results, confirmed, changed = [], [], []
    for question in asked:
        ledger = known[question.fingerprint]
        if ledger.identity.version != question.version or not ledger.unconfirmed(ledger.identity.episodes):
            results.append("overtaken")
        elif question.fingerprint in listed or doubt:
            results.append("listed" if question.fingerprint in listed else "in_doubt")
            confirmed.append(question.fingerprint)
        else:
            results.append("not_listed")
            ledger.end_unconfirmed(ends.get(question.fingerprint))
            changed.append(ledger)
    statements.CONFIRM.run((fingerprint,) for fingerprint in confirmed)
    ledgers.write(changed, Cause(AlertTransition.Source.RELAY))
    return results, changed


def _word(question: Question) -> AlertWord:
    """Return what locks an identity; nothing of it is applied."""
    return AlertWord(question.fingerprint, True, datetime.min.replace(tzinfo=UTC), None, question.labels, {}, "")


def _ends(fingerprints: list[str]) -> dict[str, datetime | None]:
    """Return by fingerprint the end that was heard before the return, of its last episode."""
    rows = AlertTransition.objects.filter(
        identity__in=fingerprints, alert__number=F("identity__episodes"), kind=AlertTransition.Kind.RESOLVED
    )
    return dict(rows.order_by("version").values_list("identity_id", "ends_at"))
