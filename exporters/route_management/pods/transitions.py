"""What of a pod's present state is worth an event, and that event in words. A pure function of the pod; called by `tracker.py`.

An event's id is made of what the API server says alone, never of when we saw it: a restarted exporter, a replica and a list
made again come to the same id, and userdb keeps it once. So whatever was missed is found again for as long as the pod says it.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from exporters.route_management.pods.decoding import Condition, Container, ContainerStatus, Pod, Terminated, unix
from runtime.texts import clean

SOURCE = "pod_exporter"
NOT_READY, READY_AGAIN, RESTARTED = "NotReady", "ReadyAgain", "Restarted"
_NAMESPACE = uuid.UUID("0c2f5a1e-8f34-5d0b-9b1a-5d6e2f7c3a90")  # of our own, drawn once
_LONGEST = 4000
"""Characters of a message that are kept: kubelets cut theirs at 4 kB."""

_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons to wait that every container has once: no event."""
_DISRUPTIONS = frozenset(
    {"PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI", "DeletionByPodGC"}
)
"""TerminationByKubelet is not among them: the pod's own reason (Evicted, Preempting, ...) tells it."""
_ENDED_BY_DELETION = frozenset({137, 143})


class Fact(NamedTuple):
    """What an event is about; nothing else goes into its id."""

    container: str
    run: str
    """The restart count, or the id of the run that ended: a `lastState` has no restart count of its own."""
    reason: str
    time: int | None
    """Unix seconds; None where the API server names no time."""
    kind: str


class Event(NamedTuple):
    """One row of userdb's MonitorEvent."""

    id: str
    tenant: str
    occurred_at: datetime
    level: str
    failure_type: str
    message: str
    detail: dict[str, Any]


def facts(pod: Pod) -> list[Fact]:
    """Return what the pod says now; nothing, in a few microseconds, of a pod that does well."""
    found: list[Fact] = []
    status = pod.status
    for containers in (status.init_container_statuses, status.container_statuses):
        for container in containers or ():
            if container.restart_count or container.state.running is None:
                found += _of_container(pod, container)
    if status.reason and status.phase == "Failed":
        found.append(Fact("", "", status.reason, None, "failed"))
    for condition in status.conditions or ():
        if condition.type == "PodScheduled":
            if condition.status == "False" and condition.reason == "Unschedulable":
                found.append(Fact("", "", "Unschedulable", unix(condition.last_transition_time), "unschedulable"))
        elif condition.type == "DisruptionTarget" and condition.status == "True" and condition.reason in _DISRUPTIONS:
            found.append(Fact("", "", condition.reason, unix(condition.last_transition_time), "disrupted"))
    return found


def _of_container(pod: Pod, status: ContainerStatus) -> Iterator[Fact]:
    for ended in (status.last_state.terminated, status.state.terminated):
        if ended is not None and _is_failure(pod, ended):
            run = ended.container_id or ("" if ended.finished_at else str(status.restart_count))
            yield Fact(status.name, run, ended.reason, unix(ended.finished_at), "ended")
    if status.restart_count:
        yield Fact(status.name, str(status.restart_count), RESTARTED, None, "restarted")
    waiting = status.state.waiting
    if waiting is not None and waiting.reason not in _STARTING:
        # it has no time of its own: the end of the run before, or the pod's start, stays while it waits
        before = status.last_state.terminated
        since = unix(before.finished_at) if before else None
        anchor = since or unix(pod.status.start_time) or unix(pod.metadata.creation_timestamp)
        yield Fact(status.name, str(status.restart_count), waiting.reason, anchor, "waiting")


def _is_failure(pod: Pod, ended: Terminated) -> bool:
    if ended.reason == "OOMKilled":
        return True
    if ended.exit_code == 0 and not ended.signal:
        return False
    return pod.metadata.deletion_timestamp is None or ended.exit_code not in _ENDED_BY_DELETION


def event_id(pod_uid: str, fact: Fact) -> str:
    """Return the id, the same for everybody who sees this."""
    moment = "" if fact.time is None else str(fact.time)
    return str(uuid.uuid5(_NAMESPACE, "\n".join((pod_uid, fact.container, fact.run, fact.reason, moment, fact.kind))))


def describe(pod: Pod, fact: Fact, tenant: str, seen_at: datetime | None) -> Event:
    """Return the event. `seen_at` is when the change was seen to happen, None when it may be long ago."""
    status = next((s for s in _statuses(pod) if s.name == fact.container), None)
    level, failure_type, words, more = _WORDS[fact.kind](pod, fact, status)
    moment = more.pop("at", None) or (None if fact.kind != "waiting" else seen_at) or _time(fact.time) or seen_at
    detail = _detail(pod, fact, status) | more
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    subject = f"container {fact.container} of pod {name}" if fact.container else f"pod {name}"
    created = _time(unix(pod.metadata.creation_timestamp))
    return Event(
        event_id(pod.metadata.uid, fact),
        tenant,
        moment or created or datetime.now(UTC),
        level,
        failure_type,
        _text(f"{subject} {words}"),
        detail,
    )


def ready_event(pod: Pod, tenant: str, reason: str, since: int, moment: int) -> Event:
    """Return the event of a pod that is not ready since `since`, or became ready again at `moment` after that."""
    fact = Fact("", "", reason, since, "ready")
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    condition = next((c for c in pod.status.conditions or () if c.type == "Ready"), Condition())
    unready = [status.name for status in pod.status.container_statuses or () if not status.ready]
    detail = _detail(pod, fact, None) | {"since": _written(since), "seconds": moment - since}
    if reason == NOT_READY:
        words = f"pod {name} is not ready for {moment - since} s: {condition.message or condition.reason or 'no reason given'}"
        detail["unready_containers"] = unready
    else:
        words = f"pod {name} is ready again after {moment - since} s"
    level = "warning" if reason == NOT_READY else "info"
    occurred = datetime.fromtimestamp(moment, UTC)
    return Event(event_id(pod.metadata.uid, fact), tenant, occurred, level, "", _text(words), detail)


Words = tuple[str, str, str, dict[str, Any]]
"""(level, failure_type, what happened, more detail; `at` is when)."""


def _ended(pod: Pod, fact: Fact, status: ContainerStatus | None) -> Words:
    ended = _termination(fact, status)
    code = ended.exit_code
    more: dict[str, Any] = {"exit_code": code, "started_at": ended.started_at, "finished_at": ended.finished_at}
    if ended.signal or code > 128:
        more["signal"] = ended.signal or code - 128
    if ended.message:
        more["message"] = _text(ended.message)
    failure_type, why = _kind_of_end(ended, pod)
    more["previous_state"] = {"state": "running", "started_at": ended.started_at}
    return "error", failure_type, f"{why} (exit code {code}, {ended.reason or 'no reason given'})", more


def _kind_of_end(ended: Terminated, pod: Pod) -> tuple[str, str]:
    if ended.reason == "OOMKilled":
        return "out_of_memory", "was killed: out of memory"
    if ended.reason == "DeadlineExceeded" or pod.status.reason == "DeadlineExceeded":
        return "timeout", "was ended: its deadline passed"
    if ended.exit_code in (126, 127) or ended.reason in ("ContainerCannotRun", "StartError"):
        return "missing_command", "could not run its command"
    if ended.signal or 128 < ended.exit_code <= 192:
        return "signal", f"was ended by signal {ended.signal or ended.exit_code - 128}"
    return "nonzero_exit", "ended with an error"


def _termination(fact: Fact, status: ContainerStatus | None) -> Terminated:
    """Return the run that the fact is about."""
    for state in (status.state, status.last_state) if status else ():
        ended = state.terminated
        if (
            ended is not None
            and (ended.reason, unix(ended.finished_at)) == (fact.reason, fact.time)
            and (not ended.container_id or ended.container_id == fact.run)
        ):
            return ended
    return Terminated(reason=fact.reason)


def _restarted(pod: Pod, fact: Fact, status: ContainerStatus | None) -> Words:
    started = None
    if status is not None:
        run = status.state.running or status.state.terminated or status.last_state.terminated
        started = _time(unix(run.started_at)) if run is not None else None
    return "warning", "", f"was restarted (restart {fact.run})", {"at": started, "previous_state": _before(status)}


def _waiting(pod: Pod, fact: Fact, status: ContainerStatus | None) -> Words:
    waiting = status.state.waiting if status else None
    said = f": {waiting.message}" if waiting is not None and waiting.message else ""
    more: dict[str, Any] = {"previous_state": _before(status)}
    if waiting is not None and waiting.message:
        more["message"] = _text(waiting.message)
    return "error", "", f"waits: {fact.reason}{said}", more


def _failed(pod: Pod, fact: Fact, status: ContainerStatus | None) -> Words:
    verb = "was evicted" if fact.reason == "Evicted" else f"failed: {fact.reason}"
    failure_type = "timeout" if fact.reason == "DeadlineExceeded" else ""
    said = f": {pod.status.message}" if pod.status.message else ""
    ends = [unix(s.state.terminated.finished_at) for s in _statuses(pod) if s.state.terminated is not None]
    times = [unix(condition.last_transition_time) for condition in pod.status.conditions or ()]
    moments = [moment for moment in (ends if any(ends) else times) if moment]
    return (
        "error",
        failure_type,
        verb + said,
        {"at": _time(max(moments, default=None)), "message": _text(pod.status.message)},
    )


def _disrupted(pod: Pod, fact: Fact, status: ContainerStatus | None) -> Words:
    return "warning", "", f"is to be removed: {fact.reason}{_said(pod, 'DisruptionTarget')}", {}


def _unschedulable(pod: Pod, fact: Fact, status: ContainerStatus | None) -> Words:
    return "warning", "", f"can't be scheduled{_said(pod, 'PodScheduled')}", {}


_WORDS = {
    "ended": _ended, "restarted": _restarted, "waiting": _waiting, "failed": _failed, "disrupted": _disrupted,
    "unschedulable": _unschedulable,
}  # fmt: skip


def _said(pod: Pod, kind: str) -> str:
    message = next((c.message for c in pod.status.conditions or () if c.type == kind), "")
    return f": {message}" if message else ""


def _before(status: ContainerStatus | None) -> dict[str, Any] | None:
    ended = status.last_state.terminated if status else None
    if ended is None:
        return None
    return {
        "state": "terminated",
        "reason": ended.reason,
        "exit_code": ended.exit_code,
        "finished_at": ended.finished_at,
    }


def _detail(pod: Pod, fact: Fact, status: ContainerStatus | None) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "namespace": pod.metadata.namespace,
        "pod": pod.metadata.name,
        "uid": pod.metadata.uid,
        "node": pod.spec.node_name,
        "reason": fact.reason,
    }
    if status is not None:
        spec: Container | None = next((c for c in _specs(pod) if c.name == status.name), None)
        image = status.image or (spec.image if spec else "")
        detail |= {"container": status.name, "image": image, "restart_count": status.restart_count}
    return detail


def _statuses(pod: Pod) -> Iterator[ContainerStatus]:
    yield from pod.status.init_container_statuses or ()
    yield from pod.status.container_statuses or ()


def _specs(pod: Pod) -> Iterator[Container]:
    yield from pod.spec.init_containers or ()
    yield from pod.spec.containers or ()


def _time(moment: int | None) -> datetime | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC)


def _written(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _text(text: str) -> str:
    plain = clean(text)
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
