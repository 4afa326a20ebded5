"""Any filtered list as CSV: streamed in pieces, no formula in it, no secret, by permission and POST, on record."""

import csv
import io
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.pages import member
from tests.alert_bridge.words import firing, resolved
from userdb import models
from userdb.admin import export
from userdb.models import AuditEntry, MonitorEvent
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


@pytest.fixture
def viewer(vendor: str) -> Client:
    return member("viewer")


def exported(client: Client, table: str, query: str = "") -> list[dict[str, str]]:
    answer: Any = client.post(f"/admin/userdb/{table}/export/?{query}")
    assert answer.status_code == 200
    content = b"".join(answer.streaming_content)
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def event(**fields: Any) -> MonitorEvent:
    return MonitorEvent.objects.create(**{"event_type": "custom", "message": "x", "tenant": "alpha"} | fields)


def test_what_the_filters_leave_is_exported_newest_first(viewer: Client) -> None:
    for n in range(3):
        event(level="critical", message=str(n))
    event(level="info")
    assert [row["message"] for row in exported(viewer, "monitorevent", "level=critical")] == ["2", "1", "0"]


def test_a_search_holds_for_the_export(viewer: Client) -> None:
    event(tenant="alpha")
    event(tenant="beta")
    assert [row["tenant"] for row in exported(viewer, "monitorevent", "q=beta")] == ["beta"]


def test_the_link_of_a_filtered_list_exports_what_it_shows(viewer: Client) -> None:
    page = viewer.get("/admin/userdb/monitorevent/?level=critical").content.decode()
    assert 'action="/admin/userdb/monitorevent/export/?level=critical"' in page


def test_an_alert_is_exported_with_its_name_and_tenant_and_times_in_utc(viewer: Client, post: Post) -> None:
    post(firing())
    post(resolved())
    (row,) = exported(viewer, "alert")
    assert (row["identity.alertname"], row["identity.tenant"], row["state"]) == (
        "SimulationFailing",
        "alpha",
        "resolved",
    )
    assert (row["starts_at"], row["ends_at"]) == ("2026-11-24T10:00:00.000Z", "2026-11-24T10:01:00.000Z")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(viewer: Client, text: str) -> None:
    event(message=text)
    (row,) = exported(viewer, "monitorevent")
    assert row["message"] == f"'{text}"


def test_texts_of_the_world_commas_and_lines_arrive_as_they_are(viewer: Client) -> None:
    text = '仿真失败, "没有收敛"\n第二行 😀'
    event(message=text)
    (row,) = exported(viewer, "monitorevent")
    assert row["message"] == text


def test_the_file_begins_with_a_byte_order_mark_and_has_a_name(viewer: Client) -> None:
    answer: Any = viewer.post("/admin/userdb/monitorevent/export/")
    assert next(iter(answer.streaming_content)).startswith(b"\xef\xbb\xbfid,")
    assert answer["Content-Disposition"].startswith('attachment; filename="monitorevent-')
    assert answer["Content-Type"] == "text/csv; charset=utf-8"


def test_nothing_is_missing_or_double_where_the_pieces_meet(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_PIECE", 7)
    rows = [event(message=str(n)) for n in range(21)]
    assert [row["id"] for row in exported(viewer, "monitorevent")] == [str(row.pk) for row in reversed(rows)]


def test_no_statement_reads_more_than_a_piece(viewer: Client) -> None:
    event()
    answer: Any = viewer.post("/admin/userdb/monitorevent/export/")
    with CaptureQueriesContext(connections[alias()]) as statements:
        b"".join(answer.streaming_content)
    assert all("LIMIT 1000" in statement["sql"] for statement in statements)
    assert statements


def test_no_secret_is_exported() -> None:
    channel = models.Channel(name="hook", kind="webhook")
    channel.secrets = {"url": "https://hooks.example.org/s3cret"}
    channel.save()
    tenant = models.Tenant.objects.create(name="alpha")
    models.ReporterToken.objects.create(tenant=tenant, hash="f" * 64, hint="mm_1")
    models.WebhookEvent.objects.create(body=b"body", body_bytes=4, result="applied")
    browser = member("administrator")
    assert "secret_token" not in exported(browser, "channel")[0]
    assert "hash" not in exported(browser, "reportertoken")[0]
    assert "body" not in exported(browser, "webhookevent")[0]


def test_an_export_is_on_record_with_its_filters(viewer: Client) -> None:
    exported(viewer, "monitorevent", "level=critical&q=")
    entry = AuditEntry.objects.get()
    assert (entry.by, entry.action, entry.kind) == ("alice", "export", "monitorevent")
    assert entry.new == {"filters": {"level": ["critical"]}}


def test_who_may_not_look_exports_nothing() -> None:
    assert member("viewer").post("/admin/userdb/reportertoken/export/").status_code == 403
    assert not AuditEntry.objects.exists()


def test_a_link_exports_nothing(viewer: Client) -> None:
    assert viewer.get("/admin/userdb/monitorevent/export/").status_code == 405


def test_an_odd_filter_leads_back_to_the_list(viewer: Client) -> None:
    assert viewer.post("/admin/userdb/monitorevent/export/?nonsense__exact=1").status_code == 302


@pytest.mark.parametrize("name", models.__all__)
def test_every_list_can_be_exported(admin_client: Client, name: str) -> None:
    table = getattr(models, name)._meta.model_name
    exported(admin_client, table)
    assert f"/admin/userdb/{table}/export/" in admin_client.get(f"/admin/userdb/{table}/").content.decode()
