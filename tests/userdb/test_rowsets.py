"""A set of rows travels as one parameter, and comes out as the table that went in."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from userdb.models import MonitorEvent, RequestRollup
from userdb.router import alias
from userdb.rowsets import ASCII, INTEGER, KEY, REAL, TEXT, TIME, packs, rowset, upsert, utc

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

COLUMNS = {"name": KEY, "hash": ASCII, "text": TEXT, "number": INTEGER, "moment": TIME}
MINUTE = {"tenant": KEY, "minute": TIME, "outcome": KEY, "instance": KEY, "requests": INTEGER, "seconds": REAL}
MOMENT = datetime(2026, 11, 24, 10, 0, 0, 123_456, UTC)


def through(*rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Send rows to the database and return what it saw."""
    connection = connections[alias()]
    found: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for pack in packs(rows):
            cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM {rowset(connection.vendor, COLUMNS)}", [pack])  # noqa: S608
            found += cursor.fetchall()
    return found


def test_every_kind_of_column_comes_out_as_it_went_in() -> None:
    ((name, hashed, text, number, moment),) = through(("Team-A", "ab12", "说 \U0001f4a5\n\"'\\", 2**62, MOMENT))
    assert (name, hashed, text, number) == ("Team-A", "ab12", "说 \U0001f4a5\n\"'\\", 2**62)
    assert utc(moment) == MOMENT


def test_null_is_null() -> None:
    assert through(("a", None, None, None, None)) == [("a", None, None, None, None)]


def test_a_document_travels_as_its_json() -> None:
    ((_, _, text, _, _),) = through(("a", "b", {"k": ["说", 1.5, None, True]}, 1, MOMENT))
    assert json.loads(text) == {"k": ["说", 1.5, None, True]}


def test_a_time_of_another_zone_is_utc() -> None:
    ((*_, moment),) = through(("a", "b", "c", 1, datetime.fromisoformat("2026-11-24T18:00:00.123456+08:00")))
    assert utc(moment) == MOMENT


@pytest.mark.parametrize("microseconds", [0, 500_000])
def test_a_time_is_the_one_that_the_orm_writes(microseconds: int) -> None:
    moment = MOMENT.replace(microsecond=microseconds)
    row = MonitorEvent.objects.create(event_type="custom", message="x", occurred_at=moment)
    connection = connections[alias()]
    with connection.cursor() as cursor:
        (pack,) = packs([(moment,)])
        times = rowset(connection.vendor, {"moment": TIME})
        cursor.execute(f"SELECT e.id FROM userdb_monitorevent e JOIN {times} ON j.moment = e.occurred_at", [pack])  # noqa: S608
        assert cursor.fetchall() in ([(row.pk,)], ((row.pk,),))


def test_an_upsert_inserts_what_is_new_and_sets_what_is_there() -> None:
    connection = connections[alias()]
    sql = upsert(connection.vendor, RequestRollup._meta.db_table, MINUTE, ("requests", "seconds"))
    for rows in (
        [("a", MOMENT, "success", "i", 1, 0.1)],
        [("a", MOMENT, "success", "i", 3, 0.3), ("b", MOMENT, "success", "i", 1, 2)],
    ):
        with connection.cursor() as cursor:
            cursor.execute(sql, list(packs(rows)))
    found = RequestRollup.objects.order_by("tenant").values_list("tenant", "minute", "requests", "seconds")
    assert list(found) == [("a", MOMENT, 3, 0.3), ("b", MOMENT, 1, 2.0)]


def test_thousands_of_rows_keep_their_order_in_one_pack() -> None:
    rows = [(str(n), "h", "t", n, MOMENT) for n in range(5000)]
    assert len(list(packs(rows))) == 1
    assert [row[3] for row in through(*rows)] == list(range(5000))


def test_what_would_not_pass_the_servers_limit_goes_in_few_packs() -> None:
    rows = [(str(n), "h", "x" * 3_000_000, n, MOMENT) for n in range(5)]
    assert 2 <= len(list(packs(rows))) <= 4
    assert [(row[3], len(row[2])) for row in through(*rows)] == [(n, 3_000_000) for n in range(5)]


def test_no_rows_are_no_statement() -> None:
    assert list(packs([])) == []


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200))
def test_every_text_is_kept_to_the_letter(text: str) -> None:
    ((_, _, found, _, _),) = through(("a", "b", text, 1, MOMENT))
    assert found == text
