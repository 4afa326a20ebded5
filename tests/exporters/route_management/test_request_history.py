"""Failed requests and minutes in userdb: what is told and what never, floods as a count, nothing doubled, nothing slowed."""

import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path, resolve
from prometheus_client import REGISTRY

from exporters.route_management import floods, known_tenants, rollups
from exporters.route_management.middleware import RequestMetrics
from exporters.route_management.request_history import RequestHistory
from exporters.route_management.rollups import Rollups, upsert
from tests.exporters.route_management.processes import migrate, rows_of, run, serving
from tests.mariadb import MariaDB, free_port
from userdb.models import MonitorEvent, RequestRollup, Tenant
from userdb.router import alias

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls(__name__),
]
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def answer(request: HttpRequest, number: int = 0) -> HttpResponse:
    request.mission_tenant = request.GET.get("as", "alpha")  # type: ignore[attr-defined]
    request.mission_failure_why = request.GET.get("why")  # type: ignore[attr-defined]
    return HttpResponse(status=int(request.GET.get("code", "200")))


urlpatterns = [path("runs/<int:number>/steps", answer), path("plain", answer)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(alpha: Tenant, clock: Clock) -> Iterator[RequestHistory]:
    known_tenants.read()
    yield RequestHistory(background=False, clock=clock)
    known_tenants._names = frozenset()


def ask(history: RequestHistory, at: str = "/runs/7/steps?code=504", method: str = "GET", **headers: Any) -> None:
    request = RequestFactory().generic(method, at, **headers)
    request.resolver_match = resolve(request.path)
    view, _, arguments = request.resolver_match
    RequestMetrics(lambda given: view(given, **arguments), history)(request)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_failed_request_becomes_an_event(history: RequestHistory) -> None:
    ask(history, "/runs/7/steps?code=504", REMOTE_ADDR="10.1.2.3", HTTP_X_REQUEST_ID="abc-123")
    history.step()
    row = MonitorEvent.objects.get()
    assert (row.event_type, row.tenant, row.failure_type, row.level) == ("request", "alpha", "timeout", "error")
    assert row.occurred_at == datetime.fromtimestamp(NOON, UTC)
    assert row.message.startswith("GET runs/<int:number>/steps: timeout, 504 after ")
    assert row.detail.pop("milliseconds") >= 0
    assert row.detail == {
        "reason": "timeout", "method": "GET", "code": 504, "route": "runs/<int:number>/steps", "peer": "10.1.2.3",
        "request_id": "abc-123",
    }  # fmt: skip


def test_path_query_body_and_headers_are_never_told(history: RequestHistory) -> None:
    ask(
        history, "/runs/4711/steps?code=500&token=s3cret", "POST", data=b"s3cret-body", HTTP_AUTHORIZATION="Bearer s3cret",
        HTTP_X_REQUEST_ID="s3cret id", HTTP_COOKIE="s3cret=1", HTTP_USER_AGENT="s3cret",
    )  # fmt: skip
    history.step()
    row = MonitorEvent.objects.get()
    assert not any(word in f"{row.message} {row.detail}" for word in ("s3cret", "4711"))


@pytest.mark.parametrize("given", ["a b", "x" * 129, "<script>", "", "日本", "a\x00"])
def test_a_request_id_that_is_no_token_is_left_out(history: RequestHistory, given: str) -> None:
    ask(history, HTTP_X_REQUEST_ID=given)
    history.step()
    assert "request_id" not in MonitorEvent.objects.get().detail


def test_a_made_up_method_is_other(history: RequestHistory) -> None:
    ask(history, method="BREW")
    history.step()
    assert MonitorEvent.objects.get().detail["method"] == "other"


@pytest.mark.parametrize("peer", ["", "unix:", "not an address"])
def test_a_peer_without_an_address_is_left_out(history: RequestHistory, peer: str) -> None:
    ask(history, REMOTE_ADDR=peer)
    history.step()
    assert "peer" not in MonitorEvent.objects.get().detail


def test_why_authentication_failed_is_kept_when_the_view_says_so(history: RequestHistory) -> None:
    ask(history, "/plain?code=401&why=token+expired" + "x" * 300)
    history.step()
    row = MonitorEvent.objects.get()
    assert (row.failure_type, row.level) == ("auth", "warning")
    assert row.detail["why"] == ("token expired" + "x" * 300)[:200]


def test_a_client_that_went_away_is_no_error(history: RequestHistory) -> None:
    ask(history, "/plain?code=499")
    history.step()
    row = MonitorEvent.objects.get()
    assert (row.failure_type, row.level) == ("client_gone", "info")


def test_an_exception_that_nobody_answered_is_a_500(history: RequestHistory) -> None:
    def refuse(request: HttpRequest) -> HttpResponse:
        raise PermissionDenied

    with pytest.raises(PermissionDenied):
        RequestMetrics(refuse, history)(RequestFactory().get("/plain"))
    history.step()
    assert MonitorEvent.objects.get().detail["code"] == 500


def test_a_success_is_no_event(history: RequestHistory) -> None:
    ask(history, "/plain?code=200")
    ask(history, "/plain?code=404")
    history.step()
    assert not MonitorEvent.objects.exists()


def test_a_flood_is_its_first_ones_and_a_count_a_minute(history: RequestHistory, clock: Clock) -> None:
    before = counted("mission_gateway_request_events_total", result="summed")
    for _ in range(250):
        ask(history, "/plain?code=503")
    clock.now += 60
    history.step()
    *first, last = MonitorEvent.objects.order_by("id")
    assert len(first) == floods.FIRST
    assert last.message == "240 more requests failed in the minute 12:00 to plain: refused"
    assert last.detail == {
        "reason": "refused", "requests": 240, "minute": "2026-03-01T12:00:00+00:00", "route": "plain",
    }  # fmt: skip
    assert counted("mission_gateway_request_events_total", result="summed") == before + 240


def test_a_flood_hides_no_other_failure(history: RequestHistory) -> None:
    for _ in range(50):
        ask(history, "/plain?code=503")
    ask(history, "/runs/1/steps?code=503")
    ask(history, "/plain?code=504")
    history.step()
    assert set(MonitorEvent.objects.values_list("failure_type", "detail__route")) == {
        ("refused", "plain"), ("refused", "runs/<int:number>/steps"), ("timeout", "plain"),
    }  # fmt: skip


def test_the_next_minute_is_told_in_full_again(history: RequestHistory, clock: Clock) -> None:
    for _ in range(2):
        for _ in range(floods.FIRST):
            ask(history)
        clock.now += 60
    history.step()
    assert MonitorEvent.objects.count() == 2 * floods.FIRST


def test_strangers_share_one_kind_over_all_routes(history: RequestHistory, clock: Clock) -> None:
    for at in ("/plain", "/runs/1/steps"):
        for _ in range(40):
            ask(history, f"{at}?as=nobody&code=401")
    clock.now += 60
    history.step()
    rows = MonitorEvent.objects.filter(tenant="unknown", failure_type="auth")
    assert rows.count() == floods.FIRST + 1
    assert rows.get(detail__requests__gt=0).detail["requests"] == 80 - floods.FIRST


def test_all_kinds_together_are_bounded(history: RequestHistory) -> None:
    for number in range(floods.MOST_KINDS + 50):
        history.failed("alpha", f"route-{number}", "error", lambda: ("m", {}))
    history.step()
    assert MonitorEvent.objects.count() == floods.MOST_IN_FULL


def test_a_full_buffer_drops_and_counts(alpha: Tenant, clock: Clock) -> None:
    history = RequestHistory(background=False, room=3, clock=clock)
    before = counted("mission_gateway_request_events_total", result="overflow")
    for _ in range(5):
        history.failed("alpha", "r", "error", lambda: ("m", {}))
    history.step()
    assert MonitorEvent.objects.count() == 3
    assert counted("mission_gateway_request_events_total", result="overflow") == before + 2


def test_what_userdb_refuses_for_good_stands_in_nobodys_way(history: RequestHistory, vendor: str) -> None:
    before = counted("mission_gateway_request_events_total", result="refused")
    if vendor == "sqlite":
        pytest.skip("takes any length")
    history.failed("t" * 100, "r", "error", lambda: ("m", {}))
    history.step()
    history.failed("alpha", "r", "error", lambda: ("m", {}))
    history.step()
    assert MonitorEvent.objects.get().tenant == "alpha"
    assert counted("mission_gateway_request_events_total", result="refused") == before + 1


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


def test_the_end_of_the_process_writes_what_waits(history: RequestHistory) -> None:
    for _ in range(floods.FIRST + 5):
        ask(history, "/plain?code=503")
    history.close()
    assert MonitorEvent.objects.count() == floods.FIRST + 1
    assert RequestRollup.objects.get().requests == floods.FIRST + 5


def test_a_forked_process_writes_nothing_of_its_parents(history: RequestHistory) -> None:
    ask(history, "/plain?code=503")
    history.after_fork()
    ask(history, "/plain")
    history.close()
    assert not MonitorEvent.objects.exists()
    assert RequestRollup.objects.get().outcome == "success"


@pytest.mark.parametrize("count", [1, 100, 400])
def test_statements_are_constant_in_the_requests(
    history: RequestHistory, django_assert_max_num_queries: Any, count: int
) -> None:
    for number in range(count):
        history.failed("alpha", f"route-{number}", "error", lambda: ("m", {}))
        history.count("alpha", "error", 0.1)
    with django_assert_max_num_queries(8, using=alias()):
        history.step()


def test_a_request_never_waits_for_the_writer(history: RequestHistory) -> None:
    """The writer is stuck in userdb: requests go on."""
    connection = connections[alias()]
    inside, released = threading.Event(), threading.Event()

    def stuck(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT" in sql and not inside.is_set():
            inside.set()
            worker = threading.Thread(target=lambda: (ask(history), released.set()))
            worker.start()
            worker.join(10)
        return execute(sql, params, many, context)

    ask(history)
    with connection.execute_wrapper(stuck):
        history.step()
    assert inside.is_set()
    assert released.is_set()


def test_a_defect_in_what_is_told_is_not_the_requests_failure(history: RequestHistory) -> None:
    class Odd:
        def __str__(self) -> str:
            raise KeyError("the view's own mistake")

    def view(request: HttpRequest) -> HttpResponse:
        request.mission_failure_why = Odd()  # type: ignore[attr-defined]
        return HttpResponse(status=500)

    response = RequestMetrics(view, history)(RequestFactory().get("/plain"))
    assert response.status_code == 500  # type: ignore[union-attr]


class TestProcesses:
    """The writer's thread in a real `route-management web`."""

    pytestmark = [pytest.mark.django_db(databases=[])]

    @pytest.fixture
    def vendor(self) -> str:
        return "sqlite"

    def test_refused_strangers_are_a_few_rows_at_the_end(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'userdb.sqlite3'}"
        migrate(url)
        with serving(url, tmp_path / "log") as web:
            for _ in range(30):
                assert web.report("mm_" + "x" * 43)[0] == 401
            assert web.stop() == 0
        rows = _rows(tmp_path, "SELECT tenant, failure_type, detail FROM userdb_monitorevent")
        assert len(rows) <= 2 * (floods.FIRST + 1)  # a minute may have ended meanwhile
        assert {row[:2] for row in rows} == {("unknown", "auth")}
        assert _rows(tmp_path, "SELECT SUM(requests), outcome FROM userdb_requestrollup GROUP BY outcome") == [
            (30, "auth")
        ]

    @pytest.mark.gate
    def test_userdb_away_slows_no_request_and_loses_no_minute(self, tmp_path: Path) -> None:
        server = MariaDB(tmp_path, free_port())
        server.start()
        try:
            migrate(server.url)
            token = run(server.url, "token", "create", "alpha").stdout.strip()
            with serving(server.url, tmp_path / "log") as web:
                assert web.report(token)[0] == 200
                server.stop(signal.SIGKILL)
                for _ in range(20):
                    assert web.report("no-token")[0] == 401
                web.until(lambda: web.said("requests wait for userdb"), "userdb was never missed")
                server.start()
                kept = 'mission_gateway_request_events_total{result="kept"}'
                web.until(lambda: float(web.metric(kept)) > 0, "nothing was written again", 50)
                assert web.stop() == 0
            sums = rows_of(server, "SELECT outcome, SUM(requests) FROM userdb_requestrollup GROUP BY 1 ORDER BY 1")
            assert [(outcome, int(count)) for outcome, count in sums] == [("auth", 20), ("success", 1)]
        finally:
            server.stop()

    @pytest.mark.gate
    def test_an_end_without_userdb_comes_soon_and_says_what_is_lost(self, tmp_path: Path) -> None:
        server = MariaDB(tmp_path, free_port())
        server.start()
        try:
            migrate(server.url)
            with serving(server.url, tmp_path / "log") as web:
                server.stop(signal.SIGKILL)
                for _ in range(floods.FIRST):
                    assert web.report("no-token")[0] == 401
                assert web.stop() == 0
                assert web.log.read_text().count('msg="requests are missing in userdb" ') == 1
                assert web.said(f"events={floods.FIRST} requests_of_minutes={floods.FIRST}")
        finally:
            server.stop()


def _rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(folder / "userdb.sqlite3")) as database:
        return database.execute(sql).fetchall()


def test_names_of_instances_fit_their_column() -> None:
    assert len(rollups.instance_name()) <= 128
