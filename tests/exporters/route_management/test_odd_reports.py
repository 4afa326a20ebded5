"""What tenants may send and databases may mind: kept to the letter, set aside with its reason, or refused; never changed."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.route_management import payload, rows
from exporters.route_management.payload import Event
from tests.exporters.route_management.conftest import Report, event
from userdb.models import MonitorEvent, ReporterToken
from userdb.router import alias

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.usefixtures("vendor"),
    pytest.mark.urls("exporters.route_management.urls"),
]
EXCEPTIONS = "/api/exceptions/report/"
Nested = Callable[[int], str]


def exception(**fields: Any) -> dict[str, Any]:
    return {"exception_type": "RuntimeError", "timestamp": datetime.now(UTC).isoformat()} | fields


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
texts = st.text(letters, max_size=60)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=texts, task=texts, detail=st.dictionaries(texts, documents, max_size=4))
def test_what_was_accepted_is_kept_to_the_letter(
    report: Report, message: str, task: str, detail: dict[str, Any]
) -> None:
    sent = event(message=message, task=task, detail=detail)
    assert report(sent).json()["accepted"] == 1
    row = MonitorEvent.objects.get(event_id=sent["id"])
    assert (row.message, row.task, row.detail) == (message, task.strip(), detail)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message", "\U0001f4a5" * 65_536),  # 256 KiB of UTF-8: MySQL's TEXT ends at 64
        ("task", "\U0001f4a5" * 200),
        ("failure_type", "说" * 64),
        ("detail", {"k": "\U0001f4a5" * 262_000}),
        ("message", "\\\"'%s{}\t\r\n\x01\x7f\u2028\ufffd"),
    ],
    ids=["message", "task", "failure_type", "detail", "odd letters"],
)
def test_the_longest_values_are_kept_whole(report: Report, field: str, value: Any) -> None:
    assert report(event(**{field: value})).json()["accepted"] == 1
    assert getattr(MonitorEvent.objects.get(), field) == value


@pytest.mark.parametrize("said", ["1000-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "2016-12-31T23:59:60Z"])
def test_old_times_are_kept(report: Report, said: str) -> None:
    report(event(occurred_at=said))
    assert MonitorEvent.objects.get().occurred_at == datetime.fromisoformat(said.replace(":60Z", ":59Z"))


@pytest.mark.parametrize("said", ["0999-01-01T00:00:00Z", "1000-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_times_beyond_the_databases_are_set_aside(report: Report, said: str) -> None:
    answer = report(event(occurred_at=said), event()).json()
    assert (answer["accepted"], answer["rejected"][0]["reason"].split(":")[0]) == (1, "occurred_at")


def test_a_number_that_python_does_not_read_harms_no_other(report: Report) -> None:
    odd = json.dumps(event(detail={"n": 0})).replace('"n": 0', '"n": ' + "9" * 5000)
    body = f'{{"events": [{odd}, {json.dumps(event())}]}}'.encode()
    answer = report(body=body).json()
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["reason"] == "detail: NaN and Infinity are no JSON"


@pytest.mark.parametrize("depth", [*range(25, 40), 200, *range(850, 1000, 7)])
@pytest.mark.parametrize("path", ["/api/v1/events", EXCEPTIONS])
def test_no_depth_breaks_it(report: Report, path: str, depth: int) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    name, entry = ("events", event()) if "v1" in path else ("exceptions", exception())
    odd = json.dumps({**entry, "detail": 0}).replace('"detail": 0', f'"detail": {nested}')
    answer = report(body=f'{{"{name}": [{odd}, {json.dumps(entry | {"id": str(uuid.uuid4())})}]}}'.encode(), path=path)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert answer.json()["accepted"] == (2 if depth <= 30 else 1) or depth in (31, 32)


@pytest.mark.parametrize("severity", [5, ["high"], {"a": 1}, True, "x" * 300])
def test_a_severity_that_is_none_is_an_error(report: Report, severity: Any) -> None:
    report(exception(severity=severity), path=EXCEPTIONS)
    assert MonitorEvent.objects.get().level == "error"


def test_what_deployed_containers_send_too_long_is_cut_and_kept_whole_beside(report: Report) -> None:
    sent = exception(
        service_name="s" * 300, source="w" * 300, exception_type="t" * 2000, exception_message="m" * 70_000
    )
    assert report(sent, path=EXCEPTIONS).json()["accepted"] == 1
    row = MonitorEvent.objects.get()
    assert (row.task, row.source) == ("s" * 199 + "…", "w" * 254 + "…")
    assert len(row.message) <= payload.LONGEST_MESSAGE
    assert row.message.endswith("m…")
    assert row.detail == sent


@pytest.mark.parametrize("body", [b"\xff\xfe", b'{"events": [1,]}', b"null", b'"events"', b'{"exceptions": []}'])
def test_the_place_of_what_is_wrong_is_named(report: Report, body: bytes) -> None:
    answer = report(body=body)
    assert answer.status_code == 400
    assert any(text in answer.json()["error"] for text in ("not JSON", "not an object", '"events" is missing'))


def test_unknown_fields_are_passed_over(report: Report) -> None:
    body = {"events": [event(version=9, tenant="beta")], "schema": 7}
    assert report(body=json.dumps(body).encode()).json()["accepted"] == 1


def test_no_events_are_no_error(report: Report) -> None:
    assert report().json() == {"accepted": 0, "duplicates": 0, "rejected": []}


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic abc", "Bearer mm_wrong", "Bearer \xfc", "mm_x", "Bearer a b"]
)
def test_what_is_no_token_is_401_and_says_how(report: Report, authorization: str) -> None:
    answer = report(event(), Authorization=authorization)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="reports"')
    assert not MonitorEvent.objects.exists()


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_schemes_letters_may_be_of_any_case(report: Report, token: str, scheme: str) -> None:
    assert report(event(), Authorization=f"{scheme} {token}").status_code == 200


def made(**fields: Any) -> Event:
    plain = {
        "id": str(uuid.uuid4()), "occurred_at": datetime(2026, 11, 24, tzinfo=UTC), "task": "", "failure_type": "",
        "level": "error", "message": "x", "detail": None, "source": "tests",
    }  # fmt: skip
    return Event(**plain | fields)


@pytest.mark.parametrize(
    "fields",
    [{"task": "t" * 201}, {"level": "l" * 17}, {"source": "s" * 256}, {"id": "说" * 3}],
    ids=["task", "level", "source", "id"],
)
def test_a_value_that_would_be_changed_is_refused_and_nothing_is_kept(
    vendor: str, token: str, fields: dict[str, Any]
) -> None:
    """INSERT IGNORE would cut it silently. The parser lets nothing such through: this is the second wall."""
    if vendor == "sqlite":
        pytest.skip("cuts nothing")
    row = ReporterToken.objects.select_related("tenant").get()
    with pytest.raises(DataError, match="would not have kept"):
        rows.keep(row, [made(), made(**fields)])
    assert not MonitorEvent.objects.exists()


def test_hundreds_of_duplicates_hide_no_changed_value(vendor: str, token: str) -> None:
    """MySQL keeps 64 warnings of a statement by itself."""
    if vendor == "sqlite":
        pytest.skip("cuts nothing")
    row = ReporterToken.objects.select_related("tenant").get()
    known = [made() for _ in range(300)]
    assert rows.keep(row, known) == 300
    assert rows.keep(row, known) == 0
    with pytest.raises(DataError):
        rows.keep(row, [*known, made(task="t" * 201)])


def test_a_session_of_the_chain_is_strict(vendor: str) -> None:
    if vendor == "sqlite":
        pytest.skip("has no modes")
    with connections[alias()].cursor() as cursor:
        cursor.execute("SELECT @@sql_mode, @@max_error_count")
        mode, warnings = cursor.fetchone()
    assert "STRICT_TRANS_TABLES" in mode
    assert warnings >= payload.MOST_EVENTS
