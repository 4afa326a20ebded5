"""Many failed requests: a flood is its first ones and a count, hides nothing else, and has its bound."""

import pytest

from exporters.route_management import floods
from exporters.route_management.request_history import RequestHistory
from tests.exporters.route_management.history import Clock, ask, counted
from userdb.models import MonitorEvent, Tenant

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls("tests.exporters.route_management.history"),
]


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
