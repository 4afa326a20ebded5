"""A pod's changes as events: what is one, what it says, and that its id is the same for everybody who sees it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from exporters.route_management.pods.decoding import Pod
from exporters.route_management.pods.tracker import Tracker
from exporters.route_management.pods.transitions import Event
from runtime.closed_sets import FAILURE_TYPES, LEVELS
from tests.exporters.route_management.pods.cast import UNIX_T0, at, condition, ended, pod, running, status, waiting


class Watcher:
    """A tracker and what it told; `room` says how many events are still taken."""

    def __init__(self, now: float = UNIX_T0 + 100) -> None:
        self.now, self.room = now, 1000
        self.told: list[Event] = []
        self.tracker = Tracker(self._offer, 300, lambda: self.now)

    def _offer(self, event: Event) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.told.append(event)
        return True

    def see(self, made: dict[str, Any]) -> list[Event]:
        """Return what is told because of this state."""
        before = len(self.told)
        self.tracker.see(msgspec.convert(made, Pod), "alpha")
        return self.told[before:]

    def reasons(self) -> list[str]:
        return [event.detail["reason"] for event in self.told]


def of(*statuses: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return pod(status={"containerStatuses": list(statuses)} | parts)


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(UNIX_T0 + seconds, UTC)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


OOM = ended("OOMKilled", 137, at(50), "run-0")
BACKOFF = waiting("CrashLoopBackOff", "back-off 10s restarting")


def test_a_pod_that_does_well_is_no_event(watcher: Watcher) -> None:
    for state in (waiting("ContainerCreating"), waiting("PodInitializing"), running(), ended("Completed", 0, at(9))):
        assert watcher.see(of(status(state=state))) == []


def test_a_container_out_of_memory_is_told_with_all_that_is_known(watcher: Watcher) -> None:
    (event,) = watcher.see(of(status(state=OOM, restartCount=0)))
    assert (event.tenant, event.level, event.failure_type) == ("alpha", "error", "out_of_memory")
    assert event.message == "container solver of pod alpha/sim-0 was killed: out of memory (exit code 137, OOMKilled)"
    assert event.occurred_at == moment(50)
    assert event.detail == {
        "namespace": "alpha", "pod": "sim-0", "uid": pod()["metadata"]["uid"], "node": "node-1", "reason": "OOMKilled",
        "container": "solver", "image": "solver:1", "restart_count": 0, "exit_code": 137, "signal": 9,
        "started_at": at(0), "finished_at": at(50), "previous_state": {"state": "running", "started_at": at(0)},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "failure_type", "words"),
    [
        (ended("Error", 2, at(5)), "nonzero_exit", "ended with an error (exit code 2, Error)"),
        (ended("Error", 139, at(5)), "signal", "was ended by signal 11 (exit code 139, Error)"),
        (ended("Error", 0, at(5), signal=15), "signal", "was ended by signal 15"),
        (ended("ContainerCannotRun", 127, at(5)), "missing_command", "could not run its command"),
        (ended("StartError", 128, at(5)), "missing_command", "could not run its command"),
        (ended("DeadlineExceeded", 137, at(5)), "timeout", "its deadline passed"),
        (ended("Error", 255, at(5)), "nonzero_exit", "ended with an error (exit code 255"),
    ],
)
def test_an_end_with_an_error_is_named(watcher: Watcher, state: dict[str, Any], failure_type: str, words: str) -> None:
    (event,) = watcher.see(of(status(state=state)))
    assert event.failure_type == failure_type
    assert words in event.message
    assert event.failure_type in FAILURE_TYPES


def test_a_crash_loop_is_told_once_a_step(watcher: Watcher) -> None:
    watcher.see(of(status()))
    for _ in range(2):
        watcher.see(of(status(state=OOM)))
        watcher.see(of(status(state=BACKOFF, last=OOM)))
        watcher.see(of(status(state=running(at(60)), last=OOM, restartCount=1)))
    assert watcher.reasons() == ["OOMKilled", "CrashLoopBackOff", "Restarted"]
    assert [event.level for event in watcher.told] == ["error", "error", "warning"]
    again = ended("OOMKilled", 137, at(90), "run-1")
    watcher.see(of(status(state=again, last=OOM, restartCount=1)))
    watcher.see(of(status(state=BACKOFF, last=again, restartCount=1)))
    watcher.see(of(status(state=running(at(120)), last=again, restartCount=2)))
    assert watcher.reasons()[3:] == ["OOMKilled", "CrashLoopBackOff", "Restarted"]
    assert len({event.id for event in watcher.told}) == 6


def test_who_sees_less_tells_of_the_same_events() -> None:
    """One saw every step, another only the last state: what both tell has the same ids."""
    first, second = Watcher(), Watcher(UNIX_T0 + 9999)
    first.see(of(status(state=OOM)))
    first.see(of(status(state=BACKOFF, last=OOM)))
    first.see(of(status(state=running(at(60)), last=OOM, restartCount=1)))
    second.see(of(status(state=running(at(60)), last=OOM, restartCount=1)))
    assert second.reasons() == ["OOMKilled", "Restarted"]
    assert [event.id for event in second.told] == [first.told[0].id, first.told[2].id]
    assert [event.occurred_at for event in second.told] == [moment(50), moment(60)]


def test_two_ends_within_a_second_are_two(watcher: Watcher) -> None:
    one, two = ended("Error", 1, at(5), "run-0"), ended("Error", 1, at(5), "run-1")
    watcher.see(of(status(state=two, last=one, restartCount=1)))
    assert watcher.reasons() == ["Error", "Error", "Restarted"]
    assert len({event.id for event in watcher.told}) == 3


def test_an_image_that_can_not_be_pulled_is_told_once_a_reason(watcher: Watcher) -> None:
    watcher.see(of(status(state=waiting("ContainerCreating"))))
    for _ in range(3):
        watcher.see(of(status(state=waiting("ErrImagePull", "no such image"))))
        watcher.see(of(status(state=waiting("ImagePullBackOff"))))
    assert watcher.reasons() == ["ErrImagePull", "ImagePullBackOff"]
    assert watcher.told[0].message.endswith("waits: ErrImagePull: no such image")


def test_a_wait_that_is_seen_to_begin_happened_now_else_at_its_anchor() -> None:
    live, late = Watcher(UNIX_T0 + 100), Watcher(UNIX_T0 + 100)
    live.see(of(status(state=waiting("ContainerCreating"))))
    (seen,) = live.see(of(status(state=waiting("ImagePullBackOff"))))
    (found,) = late.see(of(status(state=waiting("ImagePullBackOff"))))
    assert (seen.occurred_at, found.occurred_at) == (moment(100), moment(0))
    assert seen.id == found.id


def test_a_back_off_that_is_found_later_happened_when_the_run_before_ended(watcher: Watcher) -> None:
    watcher.see(of(status(state=BACKOFF, last=OOM)))
    assert [event.occurred_at for event in watcher.told] == [moment(50), moment(50)]


@pytest.mark.parametrize("code", [137, 143])
def test_the_end_of_a_pod_that_is_being_deleted_is_no_error(watcher: Watcher, code: int) -> None:
    deleted = pod(
        metadata={"deletionTimestamp": at(30)},
        status={"containerStatuses": [status(state=ended("Error", code, at(40)))]},
    )
    assert watcher.see(deleted) == []
    deleted["status"]["containerStatuses"] = [status(state=ended("Error", 1, at(40)))]
    assert len(watcher.see(deleted)) == 1


def test_init_containers_are_told_too(watcher: Watcher) -> None:
    (event,) = watcher.see(pod(status={"initContainerStatuses": [status("setup", state=ended("Error", 1, at(5)))]}))
    assert event.message.startswith("container setup of pod alpha/sim-0 ended with an error")


def test_an_evicted_pod_is_told(watcher: Watcher) -> None:
    said = "The node was low on resource: memory."
    (event,) = watcher.see(
        pod(status={"phase": "Failed", "reason": "Evicted", "message": said, "containerStatuses": []})
    )
    assert event.message == f"pod alpha/sim-0 was evicted: {said}"
    assert (event.level, event.occurred_at) == ("error", moment(0))


def test_an_eviction_by_the_api_is_told(watcher: Watcher) -> None:
    disrupted = condition(
        "DisruptionTarget", since=at(7), reason="EvictionByEvictionAPI", message="Eviction API: evicting"
    )
    (event,) = watcher.see(pod(status={"conditions": [condition("Ready"), disrupted]}))
    assert event.message == "pod alpha/sim-0 is to be removed: EvictionByEvictionAPI: Eviction API: evicting"
    assert (event.level, event.occurred_at) == ("warning", moment(7))


def test_a_pod_that_can_not_be_scheduled_is_told_once_a_time(watcher: Watcher) -> None:
    for since in (at(3), at(3), at(8)):
        refused = condition("PodScheduled", "False", since, reason="Unschedulable", message="0/3 nodes are available")
        watcher.see(pod(status={"phase": "Pending", "conditions": [refused], "containerStatuses": []}))
    assert watcher.reasons() == ["Unschedulable"] * 2
    assert watcher.told[0].message == "pod alpha/sim-0 can't be scheduled: 0/3 nodes are available"


def test_a_gated_pod_waits_on_purpose(watcher: Watcher) -> None:
    gated = condition("PodScheduled", "False", reason="SchedulingGated")
    assert watcher.see(pod(status={"phase": "Pending", "conditions": [gated], "containerStatuses": []})) == []


def unready(since: int) -> dict[str, Any]:
    said = condition(
        "Ready", "False", at(since), reason="ContainersNotReady", message="containers with unready status: [solver]"
    )
    return pod(status={"conditions": [said], "containerStatuses": [status(ready=False)]})


def ready(since: int) -> dict[str, Any]:
    return pod(status={"conditions": [condition("Ready", since=at(since))]})


def test_a_pod_not_ready_for_too_long_is_told_and_told_when_it_is_again(watcher: Watcher) -> None:
    watcher.see(unready(100))
    watcher.now = UNIX_T0 + 399
    watcher.tracker.tick()
    assert watcher.told == []
    watcher.now += 2
    watcher.tracker.tick()
    watcher.tracker.tick()
    (event,) = watcher.told
    assert event.message == "pod alpha/sim-0 is not ready for 300 s: containers with unready status: [solver]"
    assert (event.level, event.occurred_at, event.detail["unready_containers"]) == ("warning", moment(400), ["solver"])
    (again,) = watcher.see(ready(500))
    assert again.message == "pod alpha/sim-0 is ready again after 400 s"
    assert (again.level, again.occurred_at) == ("info", moment(500))
    assert watcher.see(ready(500)) == []


def test_a_short_time_not_ready_is_no_event(watcher: Watcher) -> None:
    watcher.see(unready(100))
    assert watcher.see(ready(399)) == []


def test_a_tick_that_came_too_late_changes_nothing(watcher: Watcher) -> None:
    watcher.see(unready(100))
    watcher.see(ready(500))
    assert watcher.reasons() == ["NotReady", "ReadyAgain"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_not_unready(watcher: Watcher, phase: str) -> None:
    over = unready(0)
    over["status"]["phase"] = phase
    watcher.see(over)
    watcher.now += 9999
    watcher.tracker.tick()
    assert watcher.told == []


def test_after_a_restart_a_pod_that_was_told_as_not_ready_is_told_as_ready(watcher: Watcher) -> None:
    before = Watcher(UNIX_T0 + 1000)
    before.see(unready(100))
    before.see(ready(600))
    watcher.tracker.recall({pod()["metadata"]["uid"]: UNIX_T0 + 100})
    (event,) = watcher.see(ready(600))
    assert event.id == before.told[1].id
    assert watcher.see(ready(600)) == []


def test_what_finds_no_room_is_offered_again(watcher: Watcher) -> None:
    watcher.room = 1
    state = of(status(state=running(at(60)), last=OOM, restartCount=1))
    watcher.see(state)
    assert watcher.reasons() == ["OOMKilled"]
    watcher.room = 10
    watcher.see(state)
    assert watcher.reasons() == ["OOMKilled", "Restarted"]


def test_every_level_is_of_the_closed_set(watcher: Watcher) -> None:
    watcher.now = UNIX_T0 + 9999
    watcher.see(unready(0))
    watcher.see(of(status(state=BACKOFF, last=OOM, restartCount=1), reason="Evicted", phase="Failed"))
    assert {event.level for event in watcher.told} <= set(LEVELS)
    assert len(watcher.told) == 6
