"""Minutes of requests in userdb: counted by tenant and outcome, nothing doubled, nobody else's touched."""

from datetime import UTC, datetime

import pytest

from exporters.route_management import rollups
from exporters.route_management.request_history import RequestHistory
from exporters.route_management.rollups import Rollups, upsert
from tests.exporters.route_management.history import NOON, Clock, ask
from userdb.models import RequestRollup

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls("tests.exporters.route_management.history"),
]


def test_minutes_are_counted_by_tenant_and_outcome(history: RequestHistory) -> None:
    for at in ("/plain", "/plain", "/plain?code=503", "/plain?as=nobody"):
        ask(history, at)
    history.step()
    rows = RequestRollup.objects.values_list("tenant", "outcome", "requests", "minute")
    minute = datetime.fromtimestamp(NOON, UTC)
    assert set(rows) == {
        ("alpha", "success", 2, minute), ("alpha", "refused", 1, minute), ("unknown", "success", 1, minute),
    }  # fmt: skip
    assert all(row.seconds > 0 for row in RequestRollup.objects.all())


def test_a_minute_written_twice_is_one_row_with_its_last_value(history: RequestHistory) -> None:
    for _ in range(3):
        ask(history, "/plain")
        history.step(last=True)
    assert RequestRollup.objects.get().requests == 3


def test_a_write_whose_reply_was_lost_doubles_nothing() -> None:
    made = Rollups(clock=lambda: NOON)
    made.add("alpha", "success", 0.25)
    rows = made.changed()
    upsert(rows)  # committed, but nobody heard of it
    made.add("alpha", "success", 0.5)
    upsert(made.changed())
    row = RequestRollup.objects.get()
    assert (row.requests, row.seconds) == (2, 0.75)


def test_a_replicas_row_is_never_touched(history: RequestHistory, clock: Clock) -> None:
    other = RequestHistory(background=False, clock=clock)
    for one in (history, other, other):
        ask(one, "/plain")
        one.step(last=True)
    assert sorted(RequestRollup.objects.values_list("requests", flat=True)) == [1, 2]
    assert len(set(RequestRollup.objects.values_list("instance", flat=True))) == 2


def test_a_clock_that_is_set_back_overwrites_nothing(history: RequestHistory, clock: Clock) -> None:
    for minute, requests in ((0, 5), (1, 1), (0, 1)):
        clock.now = NOON + 60 * minute
        for _ in range(requests):
            ask(history, "/plain")
        history.step(last=True)
    noon = RequestRollup.objects.filter(minute=datetime.fromtimestamp(NOON, UTC))
    assert sorted(noon.values_list("requests", flat=True)) == [1, 5]


def test_minutes_that_are_over_and_written_are_forgotten() -> None:
    now = [NOON]
    made = Rollups(clock=lambda: now[0])
    for minute in range(100):
        now[0] = NOON + 60 * minute
        made.add("alpha", "success", 0.1)
        made.written(made.changed())
    assert (len(made), len(made._sums)) == (0, 1)


def test_a_request_that_ends_while_its_minute_is_written_is_written_later() -> None:
    made = Rollups(clock=lambda: NOON)
    made.add("alpha", "success", 0.1)
    rows = made.changed()
    made.add("alpha", "success", 0.1)
    made.written(rows)
    assert made.changed()[0][1] == 2


def test_minutes_that_find_no_room_are_counted() -> None:
    made = Rollups(room=2, clock=lambda: NOON)
    assert [made.add(name, "success", 0.1) for name in ("a", "a", "b", "c")] == [0, 0, 0, 2]
    assert [key[1] for key, _, _ in made.changed()] == ["b", "c"]


def test_names_of_instances_fit_their_column() -> None:
    assert len(rollups.instance_name()) <= 128
