"""A tenant that forges gets nowhere: another's name, another's ids, floods, huge messages, deep JSON. On both endpoints."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from exporters.route_management import known_tenants, payload, reports
from exporters.route_management.middleware import RequestMetrics
from tests.exporters.route_management.conftest import Report, event
from userdb import tokens
from userdb.models import MonitorEvent, Tenant

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls("exporters.route_management.urls"),
]
EVENTS, EXCEPTIONS = "/api/v1/events", "/api/exceptions/report/"


@pytest.fixture(params=[EVENTS, EXCEPTIONS], ids=["events", "exceptions"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def entry(path: str, message: str = "the run failed", **fields: Any) -> dict[str, Any]:
    """Return an entry of that endpoint's body."""
    if path == EVENTS:
        return event(message=message, **fields)
    made = {"exception_type": "RuntimeError", "exception_message": message, "timestamp": datetime.now(UTC).isoformat()}
    return made | fields


def beta_reports(report: Report, beta: Tenant, *entries: dict[str, Any], path: str) -> Any:
    other = tokens.create(beta, "tests")[0]
    return report(*entries, path=path, Authorization=f"Bearer {other}")


def test_another_tenants_name_is_ignored_wherever_it_stands(report: Report, beta: Tenant, path: str) -> None:
    body = {
        "tenant": "beta",
        "labels": {"tenant": "beta"},
        "events": [entry(EVENTS, tenant="beta", labels={"tenant": "beta"}, detail={"tenant": "beta"})],
        "exceptions": [entry(EXCEPTIONS, tenant="beta", source="beta", service_name="beta")],
    }
    answer = report(body=json.dumps(body).encode(), path=path, **{"X-Tenant": "beta", "X-Scope-OrgID": "beta"})
    assert answer.json()["accepted"] == 1
    assert MonitorEvent.objects.get().tenant == "alpha"


def test_another_tenants_name_is_no_label(report: Report, beta: Tenant, settings: Any) -> None:
    settings.MIDDLEWARE = [f"{RequestMetrics.__module__}.RequestMetrics"]
    known_tenants.read()
    before = _series_of("beta")
    report(event(tenant="beta", failure_type='timeout",tenant="beta', task="beta"))
    known_tenants._names = frozenset()
    assert _series_of("beta") == before


def _series_of(tenant: str) -> dict[tuple[str, str], float]:
    samples = [s for family in REGISTRY.collect() for s in family.samples if tenant in str(s.labels)]
    return {(s.name, str(s.labels)): s.value for s in samples if not s.name.endswith("_created")}


def test_ids_of_anothers_events_keep_nobody_from_reporting_them(report: Report, beta: Tenant) -> None:
    """Whoever learns an id can't take it away: an id belongs to (tenant, id)."""
    stolen = event(message="beta's")
    assert report(stolen | {"message": "forged"}).json()["accepted"] == 1
    assert beta_reports(report, beta, stolen, path=EVENTS).json()["accepted"] == 1
    assert MonitorEvent.objects.get(tenant="beta").message == "beta's"


def test_ids_of_exceptions_are_made_of_the_token_s_tenant(report: Report, beta: Tenant) -> None:
    same = entry(EXCEPTIONS)
    assert report(same, path=EXCEPTIONS).json()["accepted"] == 1
    assert beta_reports(report, beta, same, path=EXCEPTIONS).json()["accepted"] == 1
    assert len(set(MonitorEvent.objects.values_list("event_id", flat=True))) == 2


def test_a_reported_event_can_not_be_rewritten(report: Report) -> None:
    sent = event(message="first")
    report(sent)
    assert report(sent | {"message": "second", "level": "info"}).json()["duplicates"] == 1
    assert MonitorEvent.objects.get().message == "first"


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REPORTS_REQUESTS_PER_SECOND", "1")
    reports.limits.cache_clear()
    yield
    reports.limits.cache_clear()


@pytest.mark.usefixtures("low_limits")
def test_a_flood_leaves_the_others_share_alone(report: Report, beta: Tenant, path: str) -> None:
    codes = [report(entry(path), path=path).status_code for _ in range(40)]
    assert (set(codes), codes.count(429) >= 15) == ({200, 429}, True)
    assert beta_reports(report, beta, entry(path), path=path).status_code == 200


def test_a_message_of_a_megabyte_is_set_aside_alone(report: Report) -> None:
    answer = report(event(), event(message="x" * 2**20), event()).json()
    assert (answer["accepted"], [r["index"] for r in answer["rejected"]]) == (2, [1])


def test_an_exception_of_a_megabyte_is_set_aside_alone(report: Report) -> None:
    """Its detail would hold it whole."""
    answer = report(entry(EXCEPTIONS, "x" * 2**20), entry(EXCEPTIONS), path=EXCEPTIONS).json()
    assert (answer["accepted"], [r["index"] for r in answer["rejected"]]) == (1, [0])


def test_messages_of_a_megabyte_each_are_413_before_they_are_read(report: Report, path: str) -> None:
    assert report(*[entry(path, "x" * 2**20) for _ in range(9)], path=path).status_code == 413
    assert not MonitorEvent.objects.exists()


@pytest.mark.parametrize("depth", [payload.DEEPEST_DETAIL + 1, 500])
def test_deep_json_is_set_aside_alone(report: Report, path: str, depth: int) -> None:
    deep = json.loads("[" * depth + "]" * depth)
    odd = entry(path, detail={"deep": deep}) if path == EVENTS else entry(path, source=deep)
    answer = report(odd, entry(path), path=path).json()
    assert (answer["accepted"], [r["index"] for r in answer["rejected"]]) == (1, [0])
    assert "nested deeper" in answer["rejected"][0]["reason"]


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "objects"])
def test_json_too_deep_to_be_read_is_400(report: Report, path: str, opening: bytes) -> None:
    name = b"events" if path == EVENTS else b"exceptions"
    body = b'{"' + name + b'": [' + opening * 200_000
    assert report(body=body, path=path).status_code == 400


def test_wide_json_costs_no_more_than_its_bytes(report: Report, path: str) -> None:
    name = "events" if path == EVENTS else "exceptions"
    body = json.dumps({name: [[[]] * 100_000]}).encode()
    answer = report(body=body, path=path)
    assert answer.json()["rejected"] == [{"index": 0, "id": None, "reason": "is no object"}]


def test_an_id_that_is_no_text_reaches_no_answer(report: Report) -> None:
    answer = report(event(id={"<script>": 1}), event(id=str(uuid.uuid4())))
    assert answer.json()["rejected"] == [{"index": 0, "id": None, "reason": "id: is missing or no UUID"}]
