"""A tenant's share of the reports API: used up it is told for how long, and nobody else's is touched; memory is bounded."""

import uuid
from collections.abc import Iterator

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from exporters.route_management import reporters, reports
from exporters.route_management.limits import BURST, Limited, Limits, Rates
from exporters.route_management.reporters import Refused, reporter
from runtime.settings import SettingsError
from tests.exporters.route_management.conftest import Report, event
from userdb import tokens
from userdb.models import MonitorEvent, Tenant
from userdb.router import alias

database = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls("exporters.route_management.urls"),
]
RATES = Rates(requests=10, events=100, bytes=1000, concurrent=2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> Limits:
    return Limits(RATES, {"events": 500, "bytes": 1000}, clock)


def enter_and_leave(limits: Limits, tenant: str, times: int) -> int:
    """Return how many of these requests, one after the other, got in."""
    for done in range(times):
        try:
            limits.enter(tenant)
        except Limited:
            return done
        limits.leave(tenant)
    return times


def test_a_burst_gets_in_and_no_more(limits: Limits) -> None:
    assert enter_and_leave(limits, "alpha", 1000) == RATES.requests * BURST


def test_a_share_fills_up_again(limits: Limits, clock: Clock) -> None:
    enter_and_leave(limits, "alpha", 1000)
    clock.now += 3
    assert enter_and_leave(limits, "alpha", 1000) == 30


def test_a_share_is_never_more_than_a_burst(limits: Limits, clock: Clock) -> None:
    limits.enter("alpha")
    limits.leave("alpha")
    clock.now += 1e6
    assert enter_and_leave(limits, "alpha", 1000) == RATES.requests * BURST


def test_one_tenant_uses_up_nobody_elses(limits: Limits) -> None:
    enter_and_leave(limits, "alpha", 1000)
    assert enter_and_leave(limits, "beta", 1) == 1


def test_it_is_told_in_whole_seconds_when_there_will_be_enough(limits: Limits, clock: Clock) -> None:
    limits.spend("alpha", "events", 2000)
    with pytest.raises(Limited) as raised:
        limits.spend("alpha", "events", 250)
    assert raised.value.retry_after == 3
    clock.now += 3
    limits.spend("alpha", "events", 250)


def test_what_is_refused_costs_nothing(limits: Limits) -> None:
    limits.spend("alpha", "bytes", 19_500)
    for _ in range(3):
        with pytest.raises(Limited):
            limits.spend("alpha", "bytes", 1000)
    limits.spend("alpha", "bytes", 500)


def test_the_largest_request_passes_however_low_the_rate() -> None:
    limits = Limits(Rates(1, 1, 1024, 1), {"events": 500, "bytes": 8_000_000}, Clock())
    limits.spend("alpha", "events", 500)
    limits.spend("alpha", "bytes", 8_000_000)


def test_requests_at_once_are_bounded_for_each_tenant(limits: Limits) -> None:
    for _ in range(RATES.concurrent):
        limits.enter("alpha")
    with pytest.raises(Limited, match="requests at once"):
        limits.enter("alpha")
    limits.enter("beta")
    limits.leave("alpha")
    limits.enter("alpha")


def test_the_memory_is_bounded_and_keeps_who_is_under_way(clock: Clock) -> None:
    limits = Limits(RATES, {}, clock, most=10)
    limits.enter("busy")
    limits.enter("busy")
    for number in range(1000):
        enter_and_leave(limits, f"tenant-{number}", 1)
    assert len(limits) <= 11
    with pytest.raises(Limited):
        limits.enter("busy")


@pytest.mark.parametrize("name", ["REQUESTS_PER_SECOND", "EVENTS_PER_SECOND", "BYTES_PER_SECOND", "CONCURRENT"])
@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_a_wrong_limit_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"REPORTS_{name}", value)
    with pytest.raises(SettingsError, match=f"REPORTS_{name}"):
        Rates.of_environment()


def limited(tenant: str = "alpha") -> float:
    labels = {"tenant": tenant, "result": "limited"}
    return REGISTRY.get_sample_value("mission_reports_received_total", labels) or 0.0


class TestAnswers:
    pytestmark = database

    @pytest.fixture(autouse=True)
    def _low(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        for name, value in (("REQUESTS_PER_SECOND", "1"), ("EVENTS_PER_SECOND", "30"), ("BYTES_PER_SECOND", "1024")):
            monkeypatch.setenv(f"REPORTS_{name}", value)
        reports.limits.cache_clear()
        yield
        monkeypatch.undo()
        reports.limits.cache_clear()

    def test_too_many_requests_are_429_with_retry_after(self, report: Report) -> None:
        before = limited()
        answers = [report(event())]
        while answers[-1].status_code == 200:  # a slow machine is given more by and by: one a second
            answers.append(report(event()))
        assert len(answers) > 20
        assert (answers[-1].status_code, answers[-1]["Retry-After"]) == (429, "1")
        assert answers[-1].json()["error"] == "too many requests of this tenant: send again after Retry-After seconds"
        assert limited() == before + 1

    def test_too_many_events_are_429_and_none_is_kept(self, report: Report) -> None:
        answers = [report(*[event() for _ in range(400)]) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert 1 <= int(answers[1]["Retry-After"]) <= 7
        assert MonitorEvent.objects.count() == 400

    def test_too_many_bytes_are_429(self, report: Report) -> None:
        body = b" " * (5 * 1024 * 1024)
        assert [report(body=body).status_code for _ in range(2)] == [400, 429]

    def test_another_tenant_goes_on(self, report: Report, beta: Tenant) -> None:
        while report(event()).status_code == 200:
            pass
        other = tokens.create(beta, "tests")[0]
        assert report(event(), Authorization=f"Bearer {other}").status_code == 200


class TestStrangers:
    pytestmark = database

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer mm_",
            "Bearer abc",
            "Basic " + "x" * 46,
            "Bearer xx_" + "x" * 43,
            "Bearer mm_" + "x" * 5000,
            "Bearer mm_" + "é" * 43,
        ],
    )
    def test_what_is_no_token_of_ours_costs_no_statement(self, client: Client, header: str) -> None:
        with CaptureQueriesContext(connections[alias()]) as statements:
            answer = client.post("/api/v1/events", b"{}", "application/json", headers={"Authorization": header})
        assert (answer.status_code, len(statements)) == (401, 0)

    def test_a_token_that_is_unknown_is_looked_up_once(self, client: Client) -> None:
        given = {"Authorization": f"Bearer {tokens.PREFIX}{uuid.uuid4().hex * 2}"}
        with CaptureQueriesContext(connections[alias()]) as statements:
            codes = {client.post("/api/v1/events", headers=given).status_code for _ in range(20)}
        assert (codes, len(statements)) == ({401}, 1)

    def test_a_new_token_works_at_once(self, report: Report, alpha: Tenant) -> None:
        assert report(event(), Authorization="Bearer mm_" + "w" * 43).status_code == 401
        made = tokens.create(alpha, "tests")[0]
        assert report(event(), Authorization=f"Bearer {made}").status_code == 200

    def test_a_tenant_that_is_enabled_again_waits_no_longer_than_the_memory(self, token: str, alpha: Tenant) -> None:
        refused = Refused(seconds=0.05)
        Tenant.objects.update(enabled=False)
        assert reporter(f"Bearer {token}", refused) is None
        Tenant.objects.update(enabled=True)
        while tokens.digest(token) in refused:
            pass
        assert reporter(f"Bearer {token}", refused) is not None

    def test_a_revoked_token_is_refused_at_once(self, report: Report, alpha: Tenant) -> None:
        assert report(event()).status_code == 200
        alpha.tokens.update(revoked_at="2026-01-01T00:00:00Z")
        assert report(event()).status_code == 401


def test_the_memory_of_strangers_is_bounded() -> None:
    refused = Refused(most=100)
    for number in range(1000):
        refused.add(str(number))
    assert len(refused) == 100
    assert "999" in refused
    assert "1" not in refused


def test_the_memory_of_strangers_holds_seconds() -> None:
    assert reporters.UNKNOWN_FOR <= 5
