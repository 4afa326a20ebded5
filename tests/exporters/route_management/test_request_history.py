"""Failed requests in userdb: what is told of one and what never, and that no request waits for it or fails by it."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from exporters.route_management import floods
from exporters.route_management.middleware import RequestMetrics
from exporters.route_management.request_history import RequestHistory
from tests.exporters.route_management.history import NOON, ask
from userdb.models import MonitorEvent, RequestRollup
from userdb.router import alias

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls("tests.exporters.route_management.history"),
]


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
