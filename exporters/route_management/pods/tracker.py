"""Which of a pod's facts are new, and who is not ready for too long. Hands events to `history.py`, which may refuse them.

Called by `intake.py` for each pod that comes, and by `service.py` once a second. What was refused is offered again when the
pod is seen again.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from exporters.route_management.pods.decoding import Pod, unix
from exporters.route_management.pods.transitions import (
    NOT_READY,
    READY_AGAIN,
    Event,
    Fact,
    describe,
    facts,
    ready_event,
)

Offer = Callable[[Event], bool]
"""Take an event for userdb; False when there is no room."""

_MOST_REMEMBERED = 256
"""Facts of one pod: a container that crashes every five minutes makes 60 an hour; userdb knows the rest."""


class _Unready(NamedTuple):
    pod: Pod
    tenant: str
    since: int
    told: bool


class Tracker:
    """Knows what was told of each pod."""

    def __init__(self, offer: Offer, not_ready_after: float, clock: Callable[[], float] = time.time) -> None:
        """`not_ready_after` is in seconds, `clock` in Unix seconds."""
        self._offer, self._after, self._clock = offer, not_ready_after, clock
        self._lock = threading.Lock()
        self._told: dict[str, dict[Fact, None]] = {}
        self._seen: set[str] = set()
        self._unready: dict[str, _Unready] = {}
        self._recalled: dict[str, int] = {}

    def see(self, pod: Pod, tenant: str) -> None:
        """Offer what is new of the pod."""
        uid = pod.metadata.uid
        with self._lock:
            found = facts(pod)
            if found:
                told = self._told.setdefault(uid, {})
                seen_at = datetime.fromtimestamp(self._clock(), UTC) if uid in self._seen else None
                for fact in found:
                    if fact not in told and self._offer(describe(pod, fact, tenant, seen_at)):
                        told[fact] = None
                        if len(told) > _MOST_REMEMBERED:
                            del told[next(iter(told))]
            self._seen.add(uid)
            self._see_readiness(pod, tenant)

    def gone(self, uid: str) -> None:
        """Forget a pod that is no more."""
        with self._lock:
            for known in (self._told, self._unready, self._recalled):
                known.pop(uid, None)
            self._seen.discard(uid)

    def recall(self, not_ready: Mapping[str, int]) -> None:
        """Take what userdb says: pods (uid: since when) that were told as not ready and not yet as ready again."""
        with self._lock:
            self._recalled |= not_ready

    def tick(self) -> None:
        """Tell who is not ready for too long by now."""
        with self._lock:
            for uid, unready in list(self._unready.items()):
                self._tell_unready(uid, unready)

    def _see_readiness(self, pod: Pod, tenant: str) -> None:
        uid, status = pod.metadata.uid, pod.status
        condition = next((c for c in status.conditions or () if c.type == "Ready"), None)
        if condition is None:
            return
        changed = unix(condition.last_transition_time)
        ends = status.phase in ("Succeeded", "Failed") or pod.metadata.deletion_timestamp is not None
        if condition.status == "True":
            self._see_ready(pod, tenant, changed)
        elif not ends and changed is not None:
            before = self._unready.get(uid)
            told = (before is not None and before.since == changed and before.told) or self._recalled.get(
                uid
            ) == changed
            self._unready[uid] = _Unready(pod, tenant, changed, told)
            self._tell_unready(uid, self._unready[uid])
        elif ends:
            self._unready.pop(uid, None)

    def _see_ready(self, pod: Pod, tenant: str, changed: int | None) -> None:
        uid = pod.metadata.uid
        unready, since = self._unready.get(uid), self._recalled.get(uid)
        if unready is not None:
            moment = changed or int(self._clock())
            # both by the pod's own times, so that it does not matter whose clock ticked when
            told = moment - unready.since < self._after and not unready.told
            told = told or (
                (
                    unready.told
                    or self._offer(ready_event(unready.pod, tenant, NOT_READY, unready.since, self._due(unready)))
                )
                and self._offer(ready_event(pod, tenant, READY_AGAIN, unready.since, moment))
            )
            if told:
                del self._unready[uid]
                self._recalled.pop(uid, None)
        elif (
            since is not None
            and changed is not None
            and (changed <= since or self._offer(ready_event(pod, tenant, READY_AGAIN, since, changed)))
        ):
            del self._recalled[uid]

    def _due(self, unready: _Unready) -> int:
        return unready.since + int(self._after)

    def _tell_unready(self, uid: str, unready: _Unready) -> None:
        due = not unready.told and self._clock() - unready.since >= self._after
        if due and self._offer(ready_event(unready.pod, unready.tenant, NOT_READY, unready.since, self._due(unready))):
            self._unready[uid] = unready._replace(told=True)
