"""`POST /api/v1/events`: what a tenant reports is a row once it is answered, once, and as itself."""

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from exporters.route_management import reports
from tests.exporters.route_management.conftest import Report, event
from userdb import tokens
from userdb.models import MonitorEvent, ReporterToken, Tenant
from userdb.router import alias

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls("exporters.route_management.urls"),
]
COUNTS = {"accepted": 0, "duplicates": 0, "rejected": []}


def test_an_event_becomes_a_row(report: Report) -> None:
    sent = event(level="critical", detail={"exit": 3, "说": "失败"}, occurred_at="2026-11-24T10:00:00.123456Z")
    assert report(sent).json() == COUNTS | {"accepted": 1}
    row = MonitorEvent.objects.get()
    assert (row.tenant, row.event_type, row.task, row.failure_type) == ("alpha", "gateway", "flow", "timeout")
    assert (row.level, row.message, row.detail, row.event_id) == (
        "critical",
        "the run failed",
        sent["detail"],
        sent["id"],
    )
    assert row.occurred_at == datetime(2026, 11, 24, 10, 0, 0, 123456, UTC)


def test_the_time_of_receipt_is_the_databases(report: Report) -> None:
    report(event())
    assert abs(MonitorEvent.objects.get().received_at - datetime.now(UTC)) < timedelta(seconds=30)


def test_an_event_sent_again_is_a_duplicate(report: Report) -> None:
    first, second = event(), event()
    report(first)
    assert report(first, second).json() == COUNTS | {"accepted": 1, "duplicates": 1}
    assert MonitorEvent.objects.count() == 2


def test_an_id_in_other_letters_is_the_same_id(report: Report) -> None:
    sent = event()
    report(sent)
    assert report(sent | {"id": sent["id"].upper()}).json()["duplicates"] == 1


def test_two_tenants_may_use_one_id(report: Report, beta: Tenant) -> None:
    sent = event()
    report(sent)
    other = tokens.create(beta, "tests")[0]
    assert report(sent, Authorization=f"Bearer {other}").json()["accepted"] == 1
    assert set(MonitorEvent.objects.values_list("tenant", flat=True)) == {"alpha", "beta"}


def test_the_token_is_the_tenant_whatever_the_event_says(report: Report, beta: Tenant) -> None:
    report(event(tenant="beta", detail={"tenant": "beta"}))
    assert MonitorEvent.objects.get().tenant == "alpha"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": "seven"}, "id: is missing or no UUID"),
        ({"level": "fatal"}, "level: 'fatal' is none of info, warning, error, critical"),
        ({"message": None}, "message: is missing or no text"),
        ({"message": "x" * 65_537}, "message: is longer than 65536 characters"),
        ({"detail": [1]}, "detail: is no object"),
        ({"detail": json.loads('{"a":' * 40 + "1" + "}" * 40)}, "detail: is nested deeper than 32"),
        ({"detail": {"a": "x" * 300_000}}, "detail: is longer than 262144 characters"),
        ({"occurred_at": "yesterday"}, "occurred_at: 'yesterday' is no RFC 3339 time"),
        ({"task": "x" * 201}, "task: is longer than 200 characters"),
    ],
)
def test_an_odd_event_harms_no_other(report: Report, fields: dict[str, Any], reason: str) -> None:
    odd = event(**fields)
    answer = report(event(), odd, event())
    assert answer.status_code == 200
    assert answer.json() == {
        "accepted": 2,
        "duplicates": 0,
        "rejected": [{"index": 1, "id": odd["id"], "reason": reason}],
    }


def test_an_event_that_is_no_object_is_named_by_its_index(report: Report) -> None:
    assert report(7, event()).json()["rejected"] == [{"index": 0, "id": None, "reason": "is no object"}]  # type: ignore[arg-type]


def test_nul_bytes_and_lone_surrogates_are_replaced(report: Report) -> None:
    body = json.dumps({"events": [event(message="a\x00b", detail={"k": "c\x00\ud800"})]}).encode()
    assert report(body=body).json()["accepted"] == 1
    row = MonitorEvent.objects.get()
    assert (row.message, row.detail) == ("a\ufffdb", {"k": "c\ufffd?"})


def test_a_time_in_the_future_becomes_the_time_of_receipt(report: Report) -> None:
    said = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    report(event(occurred_at=said))
    row = MonitorEvent.objects.get()
    assert row.occurred_at < datetime.now(UTC) + timedelta(seconds=5)
    assert row.detail == {"reported_occurred_at": said}


def test_an_unknown_failure_type_is_kept_and_counted_as_folded(report: Report) -> None:
    before = reports.FOLDED.labels("failure_type")._value.get()
    report(event(failure_type="cosmic_ray"))
    assert MonitorEvent.objects.get().failure_type == "cosmic_ray"
    assert reports.FOLDED.labels("failure_type")._value.get() == before + 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the body is not JSON"),
        (b"[1]", "the body is a JSON list, not an object"),
        (b"{}", '"events" is missing or no list'),
        (b'{"events": {}}', '"events" is missing or no list'),
        (b"[" * 100_000, "the body is not JSON"),
    ],
)
def test_a_body_that_cannot_be_read_is_400(report: Report, body: bytes, text: str) -> None:
    answer = report(body=body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]


def test_gzip_is_understood(report: Report) -> None:
    body = gzip.compress(json.dumps({"events": [event()]}).encode())
    assert report(body=body, **{"Content-Encoding": "gzip"}).json()["accepted"] == 1


def test_more_than_500_events_are_413(report: Report) -> None:
    assert report(*[event() for _ in range(501)]).status_code == 413


def test_a_body_above_the_limit_is_413(report: Report) -> None:
    assert report(body=b" " * (reports.BODY_LIMIT + 1)).status_code == 413


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer mm_wrong", "Basic abc"])
def test_a_missing_or_wrong_token_is_401(report: Report, header: str) -> None:
    answer = report(event(), Authorization=header)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="reports"')
    assert not MonitorEvent.objects.exists()


@pytest.mark.parametrize(
    "change",
    [{"revoked_at": datetime(2026, 1, 1, tzinfo=UTC)}, {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}],
    ids=["revoked", "expired"],
)
def test_a_token_that_is_out_of_force_is_401(report: Report, change: dict[str, Any]) -> None:
    ReporterToken.objects.update(**change)
    assert report(event()).status_code == 401


def test_a_disabled_tenant_is_401(report: Report, alpha: Tenant) -> None:
    Tenant.objects.update(enabled=False)
    assert report(event()).status_code == 401


@pytest.mark.parametrize(
    "path", ["/api/v1/events", "/api/v1/events/", "/api/exceptions/report", "/api/exceptions/report/"]
)
def test_get_is_405_with_and_without_a_slash(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_the_use_of_a_token_is_noted(report: Report) -> None:
    report(event())
    assert ReporterToken.objects.get().last_used_at is not None


@pytest.mark.parametrize("count", [1, 100, 500])
def test_statements_are_constant_in_the_events(report: Report, count: int) -> None:
    report(event())
    with CaptureQueriesContext(connections[alias()]) as statements:
        report(*[event() for _ in range(count)])
    assert len(statements) <= 5  # the token, the transaction's savepoint, the rows


class TestThePlatformsOwnBody:
    """`POST /api/exceptions/report/`: containers already deployed report unchanged."""

    PATH = "/api/exceptions/report/"

    @staticmethod
    def exception(**fields: Any) -> dict[str, Any]:
        return {
            "container_id": "c1", "service_name": "omnet", "exception_type": "RuntimeError",
            "exception_message": "no route", "severity": "high", "timestamp": datetime.now(UTC).isoformat(), "source": "worker",
        } | fields  # fmt: skip

    def test_it_becomes_a_row(self, report: Report) -> None:
        sent = self.exception()
        assert report(sent, path=self.PATH).json() == COUNTS | {"accepted": 1}
        row = MonitorEvent.objects.get()
        assert (row.tenant, row.task, row.failure_type, row.level) == ("alpha", "omnet", "exception", "error")
        assert (row.message, row.source, row.detail) == ("RuntimeError: no route", "worker", sent)

    @pytest.mark.parametrize(
        ("severity", "level"),
        [
            ("low", "warning"),
            ("medium", "error"),
            ("high", "error"),
            ("critical", "critical"),
            ("odd", "error"),
            (None, "error"),
        ],
    )
    def test_severities_are_levels(self, report: Report, severity: str | None, level: str) -> None:
        report(self.exception(severity=severity), path=self.PATH)
        assert MonitorEvent.objects.get().level == level

    def test_a_body_sent_again_is_known(self, report: Report) -> None:
        sent = self.exception()
        report(sent, sent, path=self.PATH)
        assert report(sent, sent, path=self.PATH).json() == COUNTS | {"duplicates": 2}
        assert MonitorEvent.objects.count() == 2

    def test_without_a_time_two_equal_ones_are_two(self, report: Report) -> None:
        sent = self.exception(timestamp=None)
        report(sent, path=self.PATH)
        assert report(sent, path=self.PATH).json()["accepted"] == 1

    def test_a_time_without_a_zone_is_in_the_configured_one(
        self, report: Report, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REPORTS_TIMEZONE", "Asia/Shanghai")
        reports.reports_timezone.cache_clear()
        said = datetime.now(UTC).replace(microsecond=0)
        report(self.exception(timestamp=(said + timedelta(hours=8)).replace(tzinfo=None).isoformat()), path=self.PATH)
        reports.reports_timezone.cache_clear()
        assert MonitorEvent.objects.get().occurred_at == said

    @pytest.mark.parametrize("timestamp", ["2020-01-01T00:00:00Z", "soon", 1e300])
    def test_a_time_that_cannot_be_is_the_time_of_receipt(self, report: Report, timestamp: Any) -> None:
        before = reports.SKEWED._value.get()
        report(self.exception(timestamp=timestamp), path=self.PATH)
        row = MonitorEvent.objects.get()
        assert abs(row.occurred_at - datetime.now(UTC)) < timedelta(seconds=30)
        assert row.detail["timestamp"] == timestamp
        assert reports.SKEWED._value.get() == before + 1


def test_ids_are_uuid5_of_the_tenant(report: Report) -> None:
    report(TestThePlatformsOwnBody.exception(), path=TestThePlatformsOwnBody.PATH)
    assert uuid.UUID(MonitorEvent.objects.get().event_id).version == 5
