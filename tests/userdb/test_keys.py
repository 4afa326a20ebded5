"""Keys are compared byte by byte on both databases; white space at an end and reserved names are refused."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, transaction
from django.db.models import Model

from tests.userdb.conftest import START, rows
from userdb import models
from userdb.fields import AsciiKeyField, KeyField
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

MINUTE = {"minute": START}
KEYED: list[tuple[type[Model], str, dict[str, Any]]] = [
    (models.Tenant, "name", {}),
    (models.ReporterToken, "hash", {"hint": "mm_1"}),
    (models.MonitorEvent, "tenant", {"event_id": "1", "event_type": "gateway", "message": "x"}),
    (models.MonitorEvent, "event_id", {"tenant": "alpha", "event_type": "gateway", "message": "x"}),
    (models.RequestRollup, "tenant", {**MINUTE, "outcome": "success", "instance": "i"}),
    (models.RequestRollup, "outcome", {**MINUTE, "tenant": "alpha", "instance": "i"}),
    (models.RequestRollup, "instance", {**MINUTE, "tenant": "alpha", "outcome": "success"}),
    (models.AlertIdentity, "fingerprint", {}),
    (models.Channel, "name", {"kind": "webhook"}),
    (models.AlertPolicy, "policy", {"tenant": "alpha", "threshold": 1}),
    (models.AlertPolicy, "tenant", {"policy": "p", "threshold": 1}),
]
IDS = [f"{table.__name__}.{field}" for table, field, _ in KEYED]
keyed = pytest.mark.parametrize(("table", "field", "others"), KEYED, ids=IDS)


def make(table: type[Model], field: str, value: str, others: dict[str, Any]) -> Any:
    if table is models.ReporterToken:
        others = others | {"tenant": models.Tenant.objects.get_or_create(name="of-token")[0]}
    return table._default_manager.create(**{field: value}, **others)


@keyed
def test_letters_of_another_case_are_another_key(table: type[Model], field: str, others: dict[str, Any]) -> None:
    for value in ("team-a", "Team-A", "TEAM-A"):
        make(table, field, value, others)
    assert table._default_manager.filter(**{field: "Team-A"}).count() == 1


@keyed
def test_the_same_key_twice_is_refused(table: type[Model], field: str, others: dict[str, Any]) -> None:
    make(table, field, "team-a", others)
    with pytest.raises(IntegrityError), transaction.atomic(using=alias()):
        make(table, field, "team-a", others)


@keyed
@pytest.mark.parametrize("value", ["team-a ", " team-a", "team-a\t", "\u3000team-a"])
def test_white_space_at_an_end_is_refused(table: type[Model], field: str, others: dict[str, Any], value: str) -> None:
    with pytest.raises(ValidationError, match=f"{field}: .* (begins or ends with white space|is not ASCII)"):
        make(table, field, value, others)


@keyed
def test_a_key_that_no_row_can_hold_finds_none(table: type[Model], field: str, others: dict[str, Any]) -> None:
    """MySQL's collation takes `team-a ` for `team-a`, and has an error for Chinese in a column of ASCII."""
    make(table, field, "team-a", others)
    for value in ("team-a ", "说"):
        assert not table._default_manager.filter(**{field: value}).exists()
        assert not table._default_manager.filter(**{f"{field}__in": [value]}).exists()
    assert table._default_manager.filter(**{f"{field}__in": ["team-a ", "team-a"]}).count() == 1


def test_an_idempotency_key_is_compared_byte_by_byte() -> None:
    notification = rows()[models.Notification][0]
    other = {"channel": notification.channel, "kind": "firing"}
    models.Notification.objects.create(key="KEY-0", **other)
    with pytest.raises(IntegrityError), transaction.atomic(using=alias()):
        models.Notification.objects.create(key="key-0", **other)


def test_tasks_and_failure_types_are_grouped_by_every_letter() -> None:
    for word in ("flow", "Flow"):
        models.MonitorEvent.objects.create(event_type="gateway", message="x", task=word, failure_type=word)
    assert models.MonitorEvent.objects.values("task").distinct().count() == 2
    assert models.MonitorEvent.objects.values("failure_type").distinct().count() == 2


def test_an_event_without_an_id_is_never_a_duplicate() -> None:
    for _ in range(2):
        models.MonitorEvent.objects.create(event_type="custom", message="x", tenant="alpha")
    assert models.MonitorEvent.objects.count() == 2


@pytest.mark.parametrize("name", ["unknown", "other", "*", ""])
def test_a_reserved_name_is_refused_by_the_database_itself(name: str) -> None:
    with connections[alias()].cursor() as cursor, pytest.raises(IntegrityError), transaction.atomic(using=alias()):
        cursor.execute("INSERT INTO userdb_tenant (name) VALUES (%s)", [name])


@pytest.mark.parametrize(
    "name", ["unknown", "other", "*", "Team-A", "-a", "a-", "a_b", "a.b", "", "x" * 64, "a\n", "ä", "a b", " a"]
)
def test_a_name_that_is_no_tenants_is_refused_by_the_form(name: str) -> None:
    with pytest.raises(ValidationError):
        models.Tenant(name=name).full_clean()


@pytest.mark.parametrize("name", ["a", "team-a", "0", "x" * 63, "unknown-1"])
def test_a_dns_label_is_a_tenants_name(name: str) -> None:
    models.Tenant(name=name).full_clean()


def _collations() -> dict[tuple[str, str], str]:
    with connections["mysql"].cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name LIKE 'userdb%%'"
        )
        return {(table, column): collation for table, column, collation in cursor.fetchall()}


def test_mariadb_holds_every_key_and_every_reference_to_one_in_a_binary_collation(vendor: str) -> None:
    if vendor == "sqlite":
        pytest.skip("compares byte by byte as it is")
    found, wanted = _collations(), {}
    for table in (t for t in vars(models).values() if isinstance(t, type) and issubclass(t, Model)):
        for field in table._meta.concrete_fields:
            target: Any = field.target_field if field.is_relation else field
            if isinstance(target, KeyField):
                ascii_only = isinstance(target, AsciiKeyField)
                wanted[table._meta.db_table, field.column] = "ascii_bin" if ascii_only else "utf8mb4_bin"
    assert {key: found[key] for key in wanted} == wanted
    assert len(wanted) > 40
