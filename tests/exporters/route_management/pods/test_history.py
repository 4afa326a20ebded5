"""Events of containers in userdb: exactly once, over restarts, replicas, outages and overflow; on both databases."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from django.db import connections

from exporters.route_management.pods.decoding import Pod
from exporters.route_management.pods.history import History
from exporters.route_management.pods.tracker import Tracker
from exporters.route_management.pods.transitions import Event
from tests.exporters.route_management.pods.cast import UNIX_T0, at, condition, ended, pod, running, status
from userdb.models import MonitorEvent

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]
in_earnest = pytest.mark.django_db(databases="__all__", transaction=True)


class Exporter:
    """A tracker and its history, as one process has them."""

    def __init__(self, room: int = 1000, now: float = UNIX_T0 + 100) -> None:
        self.rooms = 0
        self.now = now
        self.history = History(self._room, room)
        self.tracker = Tracker(self.history.offer, 300, lambda: self.now)

    def _room(self) -> None:
        self.rooms += 1

    def see(self, *pods: dict[str, Any], tenant: str = "alpha") -> None:
        for made in pods:
            self.tracker.see(msgspec.convert(made, Pod), tenant)


def crashed(run: int, name: str = "sim-0") -> dict[str, Any]:
    """Return a pod whose container runs again after a crash: two events."""
    last = ended("OOMKilled", 137, at(50 + run), f"run-{run}")
    again = status(state=running(at(60 + run)), last=last, restartCount=run)
    return pod(name, status={"containerStatuses": [again]})


def reasons() -> list[str]:
    return [row.detail["reason"] for row in MonitorEvent.objects.order_by("id") if row.detail]


def test_a_row_says_what_happened() -> None:
    exporter = Exporter()
    exporter.see(crashed(1))
    assert exporter.history.step() == 0
    row = MonitorEvent.objects.order_by("id")[0]
    assert (row.event_type, row.source, row.tenant, row.level) == ("container", "pod_exporter", "alpha", "error")
    assert (row.failure_type, row.task, row.occurred_at.timestamp()) == ("out_of_memory", "", UNIX_T0 + 51)
    assert row.message.startswith("container solver of pod alpha/sim-0 was killed: out of memory")
    assert row.detail is not None
    assert (row.detail["exit_code"], row.detail["node"], row.detail["image"]) == (137, "node-1", "solver:1")


def test_a_pod_of_no_tenant_is_of_the_unknown_tenant() -> None:
    exporter = Exporter()
    exporter.see(crashed(1), tenant="")
    exporter.history.step()
    assert {row.tenant for row in MonitorEvent.objects.all()} == {"unknown"}


def test_a_restarted_exporter_and_a_replica_double_nothing() -> None:
    first, replica = Exporter(), Exporter(now=UNIX_T0 + 777)
    for exporter in (first, replica):
        exporter.see(crashed(1), crashed(1, "sim-1"))
        exporter.history.step()
    restarted = Exporter(now=UNIX_T0 + 9999)
    restarted.see(crashed(1), crashed(2, "sim-1"))
    restarted.history.step()
    assert sorted(reasons()) == ["OOMKilled"] * 3 + ["Restarted"] * 3


@in_earnest
def test_an_outage_of_userdb_loses_and_doubles_nothing(away: Callable[[bool], None]) -> None:
    exporter = Exporter()
    away(True)
    exporter.see(crashed(1))
    assert exporter.history.step() > 0
    exporter.see(crashed(2))
    assert exporter.history.step() > 0
    assert len(exporter.history) == 4
    away(False)
    assert exporter.history.step() == 0
    assert sorted(reasons()) == ["OOMKilled"] * 2 + ["Restarted"] * 2


@in_earnest
def test_what_found_no_room_is_found_again_in_the_pods(away: Callable[[bool], None]) -> None:
    exporter = Exporter(room=3)
    pods = [crashed(1, f"sim-{number}") for number in range(5)]
    away(True)
    exporter.see(*pods)
    assert exporter.history.step() > 0
    away(False)
    while exporter.history.step() == 0 and exporter.rooms:
        exporter.rooms = 0
        exporter.see(*pods)  # what a list made again says
    assert sorted(reasons()) == ["OOMKilled"] * 5 + ["Restarted"] * 5


def test_a_batch_is_a_constant_number_of_statements(django_assert_max_num_queries: Any, settings: Any) -> None:
    for count in (1, 200):
        exporter = Exporter()
        exporter.see(*[crashed(1, f"sim-{count}-{number}") for number in range(count)])
        with django_assert_max_num_queries(4, connection=connections[settings.USERDB_ALIAS]):
            exporter.history.step()
    assert MonitorEvent.objects.count() == 402


def test_an_event_that_userdb_refuses_harms_no_other() -> None:
    exporter = Exporter()
    exporter.see(crashed(1))
    odd = Event("x" * 60, "alpha", exporter.history._waiting[0].occurred_at, "x" * 300, "", "odd", {})
    exporter.history.offer(odd)
    exporter.see(crashed(2))
    assert exporter.history.step() == 0
    assert len(exporter.history) == 0
    if connections[MonitorEvent.objects.db].vendor == "mysql":
        assert sorted(reasons()) == ["OOMKilled"] * 2 + ["Restarted"] * 2


def test_an_event_that_can_not_be_written_harms_no_other() -> None:
    exporter = Exporter()
    exporter.see(crashed(1))
    exporter.history.offer(exporter.history._waiting[0]._replace(detail={"odd": object()}))
    assert exporter.history.step() == 0
    assert sorted(reasons()) == ["OOMKilled", "Restarted"]


def test_texts_that_databases_refuse_are_made_fit() -> None:
    exporter = Exporter()
    state = ended("Error", 1, at(5), message="NUL \x00, and long: " + "x" * 10_000)
    exporter.see(pod(status={"containerStatuses": [status(state=state)]}))
    exporter.history.step()
    (row,) = MonitorEvent.objects.all()
    assert row.detail is not None
    assert "\x00" not in row.detail["message"]
    assert len(row.detail["message"]) == 4000


def unready(said: str, since: int) -> dict[str, Any]:
    return pod(status={"conditions": [condition("Ready", said, at(since))]})


def test_who_is_not_ready_is_remembered_over_a_restart() -> None:
    first = Exporter(now=UNIX_T0 + 500)
    first.see(unready("False", 100))
    first.history.step()
    restarted = Exporter(now=UNIX_T0 + 900)
    restarted.tracker.recall(restarted.history.told_as_not_ready())
    restarted.see(unready("True", 800))
    restarted.history.step()
    assert reasons() == ["NotReady", "ReadyAgain"]
    assert restarted.history.told_as_not_ready() == {}


@in_earnest
def test_two_replicas_at_once_double_nothing() -> None:
    exporters = [Exporter(), Exporter()]
    stop = threading.Event()
    threads = [threading.Thread(target=exporter.history.run, args=(stop,)) for exporter in exporters]
    for thread in threads:
        thread.start()
    for run in range(1, 4):
        for number in range(60):
            for exporter in exporters:
                exporter.see(crashed(run, f"sim-{number}"))
    stop.set()
    for thread in threads:
        thread.join(20)
    assert [len(exporter.history) for exporter in exporters] == [0, 0]
    assert MonitorEvent.objects.count() == 2 * 3 * 60
