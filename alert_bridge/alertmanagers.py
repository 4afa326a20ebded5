"""Every configured Alertmanager (API v2): what each of them lists, and its silences.

In: ALERTMANAGER_URL. Out: one `View` of all of them, or silences. Called by the relay before a refired is told, by
reconciliation, the bridge's own watch and the pages. All peers are asked at once, each within one deadline; nothing here
touches userdb, and nothing may be called inside a transaction.
"""

import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from alert_bridge.alertmanager_api import AlertmanagerError, Conversation, NoAnswer, Peer, Refused, peer_of
from alert_bridge.payload import parse_start_or_end
from runtime.settings import Secret, SettingsError
from runtime.texts import clean
from userdb.matchers import Matcher

__all__ = [
    "AlertmanagerError",
    "Answer",
    "Listed",
    "NoAnswer",
    "Peer",
    "Refused",
    "Silence",
    "Silences",
    "View",
    "ask_all",
    "create_silence",
    "expire_silence",
    "peers",
    "silences",
]  # fmt: skip

T = TypeVar("T")
DEADLINE = 5.0
"""Seconds in which an Alertmanager answers or does not."""
_URL = Secret("ALERTMANAGER_URL")
_DEFAULT = "http://127.0.0.1:9093"
_GRACE = 0.5
_SILENCE = re.compile(r"[0-9a-fA-F-]{1,64}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One alert that an Alertmanager lists: it fires, whether it is suppressed or not. A resolved one is never listed."""

    fingerprint: str
    start: datetime | None
    """In UTC, cut to milliseconds; None: it is said in a way that is no time."""
    state: str = "active"
    """`active`, `suppressed` or `unprocessed`; what is muted by time looks active (0.25 and 0.33)."""
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    generator_url: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one Alertmanager lists."""

    peer: Peer
    alerts: dict[str, Listed]
    started_at: datetime
    """By its own clock, as `up` is: clocks differ."""
    up: timedelta


@dataclass(frozen=True, slots=True)
class View:
    """What all of them say together: an alert fires when any of them lists it."""

    answers: tuple[Answer, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)
    """Why one gave none, by its URL without the password."""

    def listings(self, fingerprint: str) -> list[Listed]:
        """Return what the peers that list this alert say of it."""
        return [a.alerts[fingerprint] for a in self.answers if fingerprint in a.alerts]

    def fingerprints(self) -> set[str]:
        """Return all that any of them lists."""
        return set().union(*(answer.alerts for answer in self.answers))

    def young(self, minimum: timedelta) -> list[str]:
        """Return the URLs of those that run for a shorter time: their list is empty until Prometheus has posted again."""
        return [answer.peer.url for answer in self.answers if answer.up < minimum]

    def doubt(self, minimum: timedelta) -> str | None:
        """Return why an alert that nobody lists may fire all the same; None when its absence is certain."""
        if self.errors:
            return "; ".join(self.errors[url] for url in sorted(self.errors))
        young = self.young(minimum)
        if young:
            return f"{', '.join(young)} runs for less than {minimum.total_seconds():g} s: it may not have been told all yet"
        return None if self.answers else "no Alertmanager is configured"


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence, as the peer says that changed it last."""

    id: str
    state: str
    """`active`, `pending` or `expired`."""
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    updated_at: datetime
    peers: tuple[str, ...] = ()
    """Who knows it."""

    def covers(self, labels: dict[str, str]) -> bool:
        """Return whether it is meant for an alert with these labels, in force or not."""
        return all(matcher.holds(labels) for matcher in self.matchers)


@dataclass(frozen=True, slots=True)
class Silences:
    """The union of what the peers know."""

    found: tuple[Silence, ...] = ()
    answered: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)


def peers() -> tuple[Peer, ...]:
    """Return the configured Alertmanagers (ALERTMANAGER_URL or _FILE, read again when the file changes); SettingsError."""
    texts = [part.strip() for line in _URL.values() or (_DEFAULT,) for part in line.split(",") if part.strip()]
    found = tuple(dict.fromkeys(peer_of(text) for text in texts))
    if len({peer.url for peer in found}) != len(found):
        raise SettingsError("ALERTMANAGER_URL names one Alertmanager twice")
    return found


def ask_all(deadline: float = DEADLINE) -> View:
    """Return what every Alertmanager lists; never raises for one that does not answer. `deadline` seconds in all."""
    got = _each(_listing, deadline)
    return View(tuple(got.done.values()), got.errors)


def _listing(talk: Conversation, peer: Peer) -> Answer:
    # in this order: one that was started again between the two questions is found young
    entries = talk.get("/alerts?active=true&silenced=true&inhibited=true&unprocessed=true").document
    status = talk.get("/status")
    try:
        alerts = {alert.fingerprint: alert for alert in map(_listed, entries)}
        started_at = _time(status.document["uptime"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoAnswer(f"{peer.url} answers what no Alertmanager answers: {type(error).__name__}") from error
    return Answer(peer, alerts, started_at, status.at - started_at)


def _listed(entry: Any) -> Listed:
    status = entry["status"]
    try:
        start = parse_start_or_end(entry["startsAt"])
    except ValueError:
        start = None  # an odd time is no reason to take the alert for one that ended
    return Listed(
        str(entry["fingerprint"]),
        start,
        str(status["state"]),
        tuple(map(str, status.get("silencedBy") or ())),
        tuple(map(str, status.get("inhibitedBy") or ())),
        tuple(str(receiver["name"]) for receiver in entry.get("receivers") or ()),
        _texts(entry["labels"]),
        _texts(entry.get("annotations") or {}),
        clean(str(entry.get("generatorURL") or "")),
    )


def _texts(found: Any) -> dict[str, str]:
    return {clean(str(name)): clean(str(value)) for name, value in found.items()}


def _time(text: Any) -> datetime:
    moment = parse_start_or_end(text)
    if moment is None:
        raise ValueError("the zero time")
    return moment


def create_silence(
    matchers: Sequence[Matcher], starts_at: datetime, ends_at: datetime, created_by: str, comment: str,
    deadline: float = DEADLINE,
) -> str:  # fmt: skip
    """Create a silence at the first Alertmanager that answers (a pair tells each other) and return its id.

    Raise Refused with its words when it says no, NoAnswer when none of them answers: one that did not answer in time may
    still have taken it, which makes two silences of the same kind and nothing worse.
    """
    document = {
        "matchers": [
            {"name": m.name, "value": m.value, "isRegex": "~" in m.operator, "isEqual": not m.operator.startswith("!")}
            for m in matchers
        ],
        "startsAt": starts_at.astimezone(UTC).isoformat(),
        "endsAt": ends_at.astimezone(UTC).isoformat(),
        "createdBy": created_by,
        "comment": comment,
    }
    reply = _first(lambda talk: talk.post("/silences", document).document, deadline)
    try:
        return str(reply["silenceID"])
    except (KeyError, TypeError):
        raise NoAnswer("the silence was taken, and its id not said") from None


def expire_silence(silence: str, deadline: float = DEADLINE) -> None:
    """End a silence now; raise Refused when nobody knows it, NoAnswer when none of the Alertmanagers answers."""
    if not _SILENCE.fullmatch(silence):
        raise Refused(f"{silence!r:.60} is no silence's id")
    _first(lambda talk: talk.delete(f"/silence/{silence}"), deadline, refused_by_all=True)


def silences(deadline: float = DEADLINE) -> Silences:
    """Return the silences of all Alertmanagers, those in force first, the last to end first."""
    got = _each(lambda talk, _: [_silence(entry) for entry in talk.get("/silences").document], deadline)
    newest: dict[str, Silence] = {}
    known_by: dict[str, list[str]] = {}
    for url, found in got.done.items():
        for silence in found:
            known_by.setdefault(silence.id, []).append(url)
            if silence.id not in newest or silence.updated_at > newest[silence.id].updated_at:
                newest[silence.id] = silence
    order = ("active", "pending", "expired")
    rows = [_known(silence, known_by[silence.id]) for silence in newest.values()]
    rows.sort(key=lambda s: (order.index(s.state) if s.state in order else len(order), -s.ends_at.timestamp()))
    return Silences(tuple(rows), tuple(got.done), got.errors)


def _known(s: Silence, by: list[str]) -> Silence:
    return Silence(s.id, s.state, s.matchers, s.starts_at, s.ends_at, s.created_by, s.comment, s.updated_at, tuple(by))


def _silence(entry: Any) -> Silence:
    matchers = tuple(
        Matcher(
            clean(str(m["name"])),
            ("=" if m.get("isEqual", True) else "!") + ("~" if m["isRegex"] else "" if m.get("isEqual", True) else "="),
            clean(str(m["value"])),
        )
        for m in entry["matchers"]
    )
    return Silence(
        str(entry["id"]),
        str(entry["status"]["state"]),
        matchers,
        _time(entry["startsAt"]),
        _time(entry["endsAt"]),
        clean(str(entry.get("createdBy") or "")),
        clean(str(entry.get("comment") or "")),
        _time(entry["updatedAt"]),
    )


def _first(ask: Callable[[Conversation], T], deadline: float, refused_by_all: bool = False) -> T:
    """Return the first Alertmanager's answer; one that gives none is passed over, one that refuses only when asked to be."""
    refused: list[Refused] = []
    silent: list[NoAnswer] = []
    for peer in peers():
        try:
            with Conversation(peer, deadline) as talk:
                return ask(talk)
        except NoAnswer as error:
            silent.append(error)
        except Refused as error:
            if not refused_by_all:
                raise
            refused.append(error)
    if refused:
        raise refused[0]
    raise NoAnswer("; ".join(map(str, silent)))


@dataclass(slots=True)
class _Each(Generic[T]):
    done: dict[str, T] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def _each(ask: Callable[[Conversation, Peer], T], deadline: float) -> _Each[T]:
    """Ask all peers at once. A thread that hangs in a look-up of a name is left behind: it ends by itself, unheard."""
    asked = peers()
    answers: queue.SimpleQueue[tuple[str, T | AlertmanagerError]] = queue.SimpleQueue()

    def work(peer: Peer) -> None:
        try:
            with Conversation(peer, deadline) as talk:
                answers.put((peer.url, ask(talk, peer)))
        except AlertmanagerError as error:
            answers.put((peer.url, error))
        except Exception as error:  # noqa: BLE001  (said as that peer's error: a thread's own would be lost)
            answers.put((peer.url, NoAnswer(f"{peer.url} answers what can't be read: {type(error).__name__}")))

    for peer in asked:
        threading.Thread(target=work, args=(peer,), name="alertmanager", daemon=True).start()
    got: _Each[T] = _Each()
    for url, answer in _gathered(answers, len(asked), deadline + _GRACE):
        if isinstance(answer, AlertmanagerError):
            got.errors[url] = str(answer)
        else:
            got.done[url] = answer
    missing = [peer.url for peer in asked if peer.url not in got.done and peer.url not in got.errors]
    got.errors |= {url: f"{url} does not answer: not finished within {deadline:g} s" for url in missing}
    # in the order of the configuration, whoever was first
    got.done = {peer.url: got.done[peer.url] for peer in asked if peer.url in got.done}
    return got


def _gathered(answers: "queue.SimpleQueue[Any]", number: int, seconds: float) -> Iterable[Any]:
    ends = time.monotonic() + seconds
    for _ in range(number):
        try:
            yield answers.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            return
