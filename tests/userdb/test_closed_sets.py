"""Every place that repeats a closed set says the same: models, constraints in both databases, code, pages and documents."""

import re
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.db.models import CheckConstraint

from exporters.route_management import middleware, payload
from exporters.route_management.reports import RESULTS
from runtime import closed_sets
from tests.userdb.conftest import ROOT, rows
from userdb import models as tables
from userdb.models import MonitorEvent, RequestRollup
from userdb.router import alias

TABLES = [t for t in vars(tables).values() if isinstance(t, type) and issubclass(t, models.Model)]
CHOSEN = [(table, field) for table in TABLES for field in table._meta.concrete_fields if field.choices]
SETS: dict[str, tuple[str, ...]] = {
    "event_type": closed_sets.EVENT_TYPES,
    "level": closed_sets.LEVELS,
    "failure_type": closed_sets.FAILURE_TYPES,
    "outcome": closed_sets.OUTCOMES,
    "reason": closed_sets.REQUEST_FAILURES,
}


def constrained(table: Any, column: str) -> list[str]:
    """Return what the table's constraint lets into the column."""
    found = [
        dict(c.condition.children)[f"{column}__in"]
        for c in table._meta.constraints
        if isinstance(c, CheckConstraint) and f"{column}__in" in str(c.condition)
    ]
    assert len(found) == 1, f"{table.__name__}.{column} has no constraint of its choices"
    return list(found[0])


@pytest.mark.parametrize(("table", "field"), CHOSEN, ids=[f"{t.__name__}.{f.name}" for t, f in CHOSEN])
def test_a_constraint_holds_exactly_the_fields_choices(table: Any, field: Any) -> None:
    assert constrained(table, field.name) == [value for value, _ in field.choices]


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize(("table", "field"), CHOSEN, ids=[f"{t.__name__}.{f.name}" for t, f in CHOSEN])
def test_the_database_itself_refuses_another_word(vendor: str, table: Any, field: Any) -> None:
    row = rows()[table][0]
    for word in ("made_up", str(field.choices[-1][0]).upper()):
        with pytest.raises(IntegrityError), transaction.atomic(using=alias()):
            table.objects.filter(pk=row.pk).update(**{field.name: word})


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize(("table", "field"), CHOSEN, ids=[f"{t.__name__}.{f.name}" for t, f in CHOSEN])
def test_every_word_of_the_set_is_taken(vendor: str, table: Any, field: Any) -> None:
    row = rows()[table][0]
    for word, _ in field.choices:
        table.objects.filter(pk=row.pk).update(**{field.name: word})


@pytest.mark.parametrize("name", SETS)
def test_every_word_fits_its_column(name: str) -> None:
    columns: list[Any] = [f for t in TABLES for f in t._meta.concrete_fields if f.name == name and f.max_length]
    assert all(len(word) <= column.max_length for word in SETS[name] for column in columns)


def test_request_minutes_take_success_and_every_failure() -> None:
    longest = RequestRollup._meta.get_field("outcome").max_length
    assert all(len(word) <= longest for word in ("success", *closed_sets.REQUEST_FAILURES))


def words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z_]+", text.replace(" or ", " ")))


@pytest.mark.parametrize("name", ["event_type", "level"])
def test_the_columns_help_names_the_set(name: str) -> None:
    assert words(str(MonitorEvent._meta.get_field(name).help_text)) == SETS[name]


def test_the_middleware_gives_no_reason_beside_the_set() -> None:
    by_code = {middleware.failure_of_code(code) for code in range(100, 600)} - {None}
    errors = (TimeoutError(), ConnectionRefusedError(), BrokenPipeError(), ConnectionError(), ValueError())
    by_error = {middleware.failure_of_exception(error) for error in errors}
    assert by_code | by_error == set(closed_sets.REQUEST_FAILURES)


def test_severities_become_levels() -> None:
    assert set(payload._SEVERITIES.values()) <= set(closed_sets.LEVELS)


def test_what_a_name_is_folded_into_is_a_tenants_name_nowhere() -> None:
    assert set(tables.tenants.RESERVED_NAMES) == {closed_sets.UNKNOWN, closed_sets.OTHER, closed_sets.EVERYONE}  # type: ignore[attr-defined]
    assert closed_sets.OTHER in closed_sets.FAILURE_TYPES


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("userdb.md", closed_sets.EVENT_TYPES),
        ("userdb.md", closed_sets.LEVELS),
        ("userdb.md", closed_sets.FAILURE_TYPES),
        ("userdb.md", closed_sets.REQUEST_FAILURES),
        ("route-management.md", closed_sets.LEVELS),
        ("route-management.md", closed_sets.REQUEST_FAILURES),
        ("route-management.md", RESULTS),
    ],
)
def test_the_documents_name_whole_sets_in_order(page: str, said: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert ", ".join(f"`{word}`" for word in said) in text
