"""The schema: no migration missing, forwards from nothing on both databases, indexes there and each with its query named."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, models

from runtime.closed_sets import POLICIES
from tests import settings
from tests.userdb.conftest import ROOT, Run
from userdb import models as tables
from userdb.router import alias

TABLES = [t for t in vars(tables).values() if isinstance(t, type) and issubclass(t, models.Model)]
SOURCES = sorted((ROOT / "userdb" / "models").glob("*.py"))


@pytest.mark.django_db(databases="__all__")
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_index_and_constraint_is_there(vendor: str, table: Any) -> None:
    connection = connections[alias()]
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table._meta.db_table)
    for index in table._meta.indexes:
        columns = [table._meta.get_field(name).column for name, _ in index.fields_orders]
        assert found[index.name]["columns"] == columns
        if vendor == "sqlite" or not connection.mysql_is_mariadb:  # type: ignore[attr-defined]
            assert found[index.name]["orders"] == [order or "ASC" for _, order in index.fields_orders]
    assert {c.name for c in table._meta.constraints} <= set(found)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_index_says_which_query_it_serves(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith("models.Index("):
            assert lines[number - 1].strip().startswith("# "), f"{path.name}:{number + 1} has no comment"


def test_the_sources_of_the_tables_hold_every_index() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    assert text.count("models.Index(") == sum(len(table._meta.indexes) for table in TABLES)


@pytest.fixture
def sql(vendor: str, manage: Run) -> str:
    """What sqlmigrate shows of the migrations that make tables."""
    url = {} if vendor == "sqlite" else {"USERDB_URL": f"mysql://root@127.0.0.1:{settings.MYSQL_PORT}/userdb"}
    if vendor == "sqlite":
        manage("migrate", "--verbosity=0")
    return "".join(manage("sqlmigrate", "userdb", number, **url).stdout for number in ("0001", "0004"))


@pytest.mark.django_db(databases="__all__")
def test_sqlmigrate_shows_defaults_in_utc_and_binary_keys(vendor: str, sql: str) -> None:
    # Django makes SQLite's tables anew to add to them, under another name
    assert len(set(re.findall(r"CREATE TABLE [`\"](userdb_\w+)", sql))) == len(TABLES)
    assert not re.search(r"\bNOW\(\)|CURRENT_TIMESTAMP", sql)
    if vendor == "mysql":
        assert "DEFAULT (UTC_TIMESTAMP(6))" in sql
        assert re.search(r"`key` varchar\(190\) COLLATE `utf8mb4_bin`", sql)
    else:
        assert "DEFAULT (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW'))" in sql


def test_a_new_database_is_migrated_and_a_second_time_nothing_is_left(manage: Run) -> None:
    assert manage("migrate", "--verbosity=0").returncode == 0
    assert "No migrations to apply" in manage("migrate").stdout


@pytest.mark.django_db(databases="__all__")
def test_the_first_thresholds_are_those_that_the_pages_offer(vendor: str) -> None:
    found = tables.AlertPolicy.objects.filter(tenant="*").values_list("policy", flat=True)
    assert sorted(found) == sorted(POLICIES)
