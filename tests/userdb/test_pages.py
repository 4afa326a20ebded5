"""Every page of every table: opens with rows and without, in a constant number of statements; history is read by all alike."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.userdb.conftest import rows
from userdb import audit, models
from userdb.models import AuditEntry, MonitorEvent

pytestmark = [pytest.mark.django_db(databases="__all__")]

CONFIGURATION = (models.AlertPolicy, models.Channel, models.ReporterToken, models.Tenant)
TABLES = [getattr(models, name) for name in models.__all__]
HISTORY = [table for table in TABLES if table not in CONFIGURATION]


def name_of(table: Any) -> str:
    return str(table.__name__)


every = pytest.mark.parametrize("table", TABLES, ids=name_of)
history = pytest.mark.parametrize("table", HISTORY, ids=name_of)


def listing(table: Any, query: str = "") -> str:
    return reverse(f"admin:userdb_{table._meta.model_name}_changelist") + query


def page(row: Any, what: str = "change") -> str:
    return reverse(f"admin:userdb_{row._meta.model_name}_{what}", args=[row.pk])


@pytest.fixture
def staff(client: Client) -> Callable[..., Client]:
    """`staff("view_alert", ...)` logs in a member of the staff who holds these permissions and no other."""

    def login(*permissions: str) -> Client:
        user = User.objects.create_user("bob", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="userdb", codename__in=permissions))
        client.force_login(user)
        return client

    return login


@every
def test_a_list_and_a_page_open(admin_client: Client, table: Any) -> None:
    row = rows(2)[table][0]
    assert admin_client.get(listing(table)).status_code == 200
    assert admin_client.get(page(row)).status_code == 200
    assert admin_client.get(page(row, "history"), follow=True).status_code == 200


@pytest.mark.parametrize("table", CONFIGURATION, ids=name_of)
def test_the_history_of_what_people_edit_is_the_audit_of_that_row_alone(admin_client: Client, table: Any) -> None:
    first, second = rows(2)[table]
    for row in (first, second):
        audit.record("alice", "change", row)
    found = admin_client.get(page(first, "history"), follow=True).context["cl"].result_list
    assert {(one.kind, one.object_id) for one in found} == {(table._meta.model_name, str(first.pk))}


@every
def test_what_nobody_edits_offers_no_history(admin_client: Client, table: Any) -> None:
    row = rows()[table][0]
    assert (page(row, "history") in admin_client.get(page(row)).content.decode()) == (table in CONFIGURATION)


@every
def test_a_page_says_when_in_seconds_and_the_zone(admin_client: Client, table: Any) -> None:
    row = rows()[table][0]
    text = admin_client.get(page(row)).content.decode()
    assert table is models.Channel or re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d CST", text)
    assert "DatabaseDefault" not in text


@pytest.mark.parametrize("table", CONFIGURATION, ids=name_of)
def test_an_empty_form_shows_nothing_of_the_programs_inside(admin_client: Client, table: Any) -> None:
    text = admin_client.get(reverse(f"admin:userdb_{table._meta.model_name}_add")).content.decode()
    assert "object at 0x" not in text


@every
def test_an_empty_list_says_why_it_is_empty(admin_client: Client, table: Any) -> None:
    models.AlertPolicy.objects.all().delete()
    answer = admin_client.get(listing(table))
    text = answer.context["cl"].model_admin.empty_text
    assert text in answer.content.decode().replace("&#x27;", "'")
    assert text != "Nothing here yet."


@every
def test_a_list_without_a_match_says_so(admin_client: Client, table: Any) -> None:
    searchable = admin_client.get(listing(table)).context["cl"].search_fields
    rows()
    query = "?q=nowhere" if searchable else "?id__exact=0"
    assert "Nothing fits these filters." in admin_client.get(listing(table, query)).content.decode()


@every
def test_the_statements_of_a_list_do_not_grow_with_its_rows(admin_client: Client, table: Any) -> None:
    counts = []
    for count in (1, 20):
        models.Notification.objects.all().delete()
        models.AlertPolicy.objects.all().delete()
        models.AlertTransition.objects.all().delete()
        models.Alert.objects.all().delete()
        for other in TABLES:
            other.objects.all().delete()
        rows(count)
        admin_client.get(listing(table))
        with CaptureQueriesContext(connection) as statements:
            assert len(admin_client.get(listing(table)).context["cl"].result_list) == count
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 10


def test_the_statements_of_an_alerts_page_do_not_grow_with_what_happened(admin_client: Client) -> None:
    made = rows(20)
    alert, counts = made[models.Alert][0], []
    admin_client.get(page(alert))  # what Django keeps from then on
    for run in range(2):
        with CaptureQueriesContext(connection) as statements:
            assert admin_client.get(page(alert)).status_code == 200
        counts.append(len(statements))
        for n, (webhook, channel) in enumerate(zip(made[models.WebhookEvent], made[models.Channel], strict=True), 2):
            common = {"identity": alert.identity, "alert": alert}
            models.AlertTransition.objects.create(version=n + run * 100, kind="refired", webhook=webhook, **common)
            models.Notification.objects.create(key=f"more-{run}-{n}", channel=channel, kind="repeat", **common)
    assert counts[0] == counts[1] <= 20


def test_a_tenants_page_shows_its_tokens_in_a_constant_number_of_statements(admin_client: Client) -> None:
    tenant = rows(1)[models.Tenant][0]
    admin_client.get(page(tenant))  # what Django keeps from then on
    counts = []
    for n in range(2):
        with CaptureQueriesContext(connection) as statements:
            assert "mm_0" in admin_client.get(page(tenant)).content.decode()
        counts.append(len(statements))
        for m in range(20):
            models.ReporterToken.objects.create(tenant=tenant, hash=f"{n + 1}{m:063x}", hint=f"mm_{m}")
    assert counts[0] == counts[1]


@pytest.mark.parametrize("table", [MonitorEvent, models.WebhookEvent, models.DeliveryAttempt], ids=name_of)
def test_a_list_reads_no_big_table_whole(admin_client: Client, table: Any) -> None:
    rows(60)  # more than a page: a list of one page is read as it is counted
    with CaptureQueriesContext(connection) as statements:
        admin_client.get(listing(table))
    texts = [s["sql"] for s in statements if table._meta.db_table in s["sql"]]
    assert texts
    assert not any("DISTINCT" in text for text in texts)
    assert all("LIMIT" in text for text in texts)


def test_a_list_of_webhooks_reads_no_bodies(admin_client: Client) -> None:
    rows(3)
    with CaptureQueriesContext(connection) as statements:
        admin_client.get(listing(models.WebhookEvent))
        admin_client.get(listing(models.AlertTransition))
    assert not any('"userdb_webhookevent"."body"' in s["sql"] for s in statements)


def test_a_big_list_is_counted_to_its_bound(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("userdb.admin.paging._COUNTED", 100)
    MonitorEvent.objects.bulk_create(MonitorEvent(event_type="custom", message=str(n)) for n in range(130))
    answer = admin_client.get(listing(MonitorEvent))
    assert answer.context["cl"].result_count == 100
    assert answer.context["cl"].result_list[0].message == "129"
    assert admin_client.get(listing(MonitorEvent, "?p=2")).status_code == 200


@pytest.mark.parametrize("value", ['"alpha "', "说", "alpha%", "x' OR 1=1"])
@pytest.mark.parametrize("table", TABLES, ids=name_of)
def test_odd_words_are_searched_for_and_not_found(vendor: str, admin_client: Client, table: Any, value: str) -> None:
    rows()
    answer = admin_client.get(listing(table), {"q": value})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=alpha", 1), ("q=Alpha", 1), ("q=ALPHA", 0), ("level=info", 1), ("event_type=custom", 2),
        ("failure_type=timeout", 1), ("level=made_up", 0), ("q=7c9e6679-7425-40de-944b-e07fc1f90ae7", 1),
    ],
)  # fmt: skip
def test_events_are_found_by_closed_sets_and_exact_names(
    vendor: str, admin_client: Client, query: str, found: int
) -> None:
    identifier = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    MonitorEvent.objects.create(event_type="custom", message="x", tenant="alpha", level="info", event_id=identifier)
    MonitorEvent.objects.create(event_type="custom", message="x", tenant="Alpha", failure_type="timeout")
    assert len(admin_client.get(listing(MonitorEvent, f"?{query}")).context["cl"].result_list) == found


@history
def test_history_is_edited_by_nobody(admin_client: Client, table: Any) -> None:
    row = rows()[table][0]
    before = models.AuditEntry.objects.count()
    for path in (page(row), page(row, "delete"), reverse(f"admin:userdb_{table._meta.model_name}_add")):
        assert admin_client.post(path, {"note": "x"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin_client.post(listing(table), chosen)
    assert type(row).objects.filter(pk=row.pk).exists()
    assert models.AuditEntry.objects.count() == before


@every
def test_who_may_look_may_look_and_no_more(staff: Callable[..., Client], table: Any) -> None:
    row = rows()[table][0]
    bob = staff(f"view_{table._meta.model_name}")
    assert bob.get(listing(table)).status_code == 200
    assert bob.get(page(row)).status_code == 200
    assert bob.post(page(row), {}).status_code == 403
    assert bob.post(page(row, "delete"), {"post": "yes"}).status_code == 403


@every
def test_who_may_not_look_is_refused(staff: Callable[..., Client], table: Any) -> None:
    row = rows()[table][0]
    bob = staff()
    assert bob.get(listing(table)).status_code == 403
    assert bob.get(page(row)).status_code == 403


def test_no_page_is_open_without_a_login(client: Client) -> None:
    row = rows()[models.Channel][0]
    for path in (page(row), listing(models.Channel), reverse("admin:index")):
        assert client.get(path)["Location"].startswith("/admin/login/")


def test_an_audit_entry_shows_old_and_new(admin_client: Client) -> None:
    entry = AuditEntry.objects.create(
        by="alice",
        action="change",
        kind="channel",
        object_id="1",
        name="x",
        old={"enabled": True},
        new={"enabled": False},
    )
    text = admin_client.get(page(entry)).content.decode()
    assert "enabled: True" in text
    assert "enabled: False" in text


def test_the_tests_of_mariadb_reach_it(vendor: str, admin_client: Client) -> None:
    alias = "mysql" if vendor == "mysql" else "default"
    with CaptureQueriesContext(connections[alias]) as statements:
        admin_client.get(listing(MonitorEvent))
    assert any("userdb_monitorevent" in s["sql"] for s in statements)


def found(client: Client, table: Any, query: str) -> int:
    return len(client.get(listing(table, query)).context["cl"].result_list)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("q=TargetDown", 2), ("q=team-a", 1), ("q=TargetDown+team-a", 1), ("q=team-a+TargetDown", 1), ("q=team-b+Other", 0),
        ("q=0000000000000001", 1), ('q="TargetDown"', 2), ("q=a+b+c", 0), ("q=team", 0), ("q=team-a&state__exact=firing", 1),
        ("identity__severity=error", 1), ("identity__severity=error&q=team-a", 1), ("identity__severity=error&q=team-b", 0),
        ("identity__severity=error&state__exact=firing", 1), ("identity__severity=info", 0),
    ],
)  # fmt: skip
def test_alerts_are_found_by_what_is_known_of_their_identity(
    vendor: str, admin_client: Client, query: str, count: int
) -> None:
    rows(2)
    models.AlertIdentity.objects.update(state="firing")
    models.AlertIdentity.objects.filter(pk=f"{0:016x}").update(tenant="team-a", severity="error")
    models.AlertIdentity.objects.filter(pk=f"{1:016x}").update(tenant="team-b")
    assert found(admin_client, models.Alert, f"?{query}") == count


@pytest.mark.parametrize("table", [models.AlertTransition, models.Notification], ids=name_of)
def test_changes_and_messages_are_found_by_the_same(vendor: str, admin_client: Client, table: Any) -> None:
    rows(2)
    models.AlertIdentity.objects.filter(pk=f"{0:016x}").update(tenant="team-a")
    assert [found(admin_client, table, f"?q={word}") for word in ("team-a", "TargetDown", "nobody")] == [1, 2, 0]


def test_what_fires_is_found_however_many_changed_later(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("userdb.admin.identities.LOOKED_AT", 2)
    made = rows(4)
    models.AlertIdentity.objects.update(state="firing", severity="error")
    models.Alert.objects.exclude(pk=made[models.Alert][0].pk).update(state="resolved")
    assert found(admin_client, models.Alert, "?q=TargetDown") == 2
    assert found(admin_client, models.Alert, "?q=TargetDown&state__exact=firing") == 1
    assert found(admin_client, models.Alert, "?identity__severity=error&state__exact=firing") == 1


@pytest.mark.parametrize(
    ("days_ago", "hits"),
    [(0, {"hour", "day", "week", "0"}), (0.5, {"day", "week"}), (3, {"week", "3"}), (9, {"9"})],
)
def test_rows_are_found_by_their_time(vendor: str, admin_client: Client, days_ago: float, hits: set[str]) -> None:
    moment = timezone.now() - timedelta(days=days_ago)
    MonitorEvent.objects.create(event_type="custom", message="x", received_at=moment)
    today = timezone.localdate()
    asked = {"hour": "hour", "day": "day", "week": "week"} | {
        str(n): (today - timedelta(days=n)).isoformat() for n in (0, 3, 9)
    }
    got = {name for name, value in asked.items() if found(admin_client, MonitorEvent, f"?received_at={value}")}
    assert got - {"0"} == hits - {"0"}


@pytest.mark.parametrize("value", ["soon", "2026-99-99", "9999-12-31", "0001-01-01", "hour%00"])
def test_odd_times_find_nothing_and_are_no_error(vendor: str, admin_client: Client, value: str) -> None:
    rows()
    assert admin_client.get(listing(MonitorEvent, f"?received_at={value}")).status_code in (200, 302)


def test_no_address_sorts_a_big_table(admin_client: Client) -> None:
    rows(3)
    with CaptureQueriesContext(connection) as statements:
        admin_client.get(listing(models.Alert, "?o=1.2.5"))
    assert not any("alertname" in s["sql"].partition("ORDER BY")[2] for s in statements)


def test_no_address_counts_a_whole_table_for_its_filters(admin_client: Client) -> None:
    rows(3)
    with CaptureQueriesContext(connection) as statements:
        page = admin_client.get(listing(models.Alert, "?_facets=True")).content.decode()
    assert "Hide counts" not in page
    assert not any("FILTER (WHERE" in s["sql"] for s in statements)
