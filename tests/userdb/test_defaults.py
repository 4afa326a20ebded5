"""Rows of the platform's other modules, with its own five columns alone; and times that are UTC in every zone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DataError, connections, transaction
from django.db.models import Model
from django.utils import timezone

from tests.userdb.conftest import rows
from userdb import clock, models
from userdb.fields import UtcNowField
from userdb.models import Channel, MonitorEvent
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

PLAIN = "INSERT INTO userdb_monitorevent (event_type, source, level, message, detail) VALUES (%s, %s, %s, %s, %s)"
TABLES = [t for t in vars(models).values() if isinstance(t, type) and issubclass(t, Model)]


def near(moment: datetime) -> bool:
    return abs(moment - datetime.now(UTC)) < timedelta(seconds=30)


def plain() -> MonitorEvent:
    with connections[alias()].cursor() as cursor:
        cursor.execute(PLAIN, ["container", "monitoring", "warning", "重启", '{"pod": "a-0"}'])
    return MonitorEvent.objects.get()


def by_orm() -> MonitorEvent:
    words = {"event_type": "container", "source": "monitoring", "level": "warning", "message": "重启"}
    MonitorEvent.objects.create(**words, detail={"pod": "a-0"})
    return MonitorEvent.objects.get()


@pytest.mark.parametrize("write", [plain, by_orm], ids=["plain SQL", "the ORM"])
def test_the_platforms_five_columns_are_enough(write: Callable[[], MonitorEvent]) -> None:
    row = write()
    assert (row.event_type, row.source, row.level, row.message) == ("container", "monitoring", "warning", "重启")
    assert row.detail == {"pod": "a-0"}
    assert (row.tenant, row.failure_type, row.task, row.event_id) == ("unknown", "", "", None)
    assert near(row.created_at)
    assert near(row.occurred_at)
    assert near(row.received_at)


def test_the_zones_of_this_test_are_eight_hours_off() -> None:
    """Else the tests of this file would prove nothing."""
    assert timezone.get_current_timezone_name() == "Asia/Shanghai"
    if alias() == "mysql":
        with connections["mysql"].cursor() as cursor:
            cursor.execute("SELECT TIMEDIFF(NOW(), UTC_TIMESTAMP()), @@GLOBAL.time_zone")
            assert tuple(map(str, cursor.fetchone())) == ("08:00:00", "+08:00")


def test_a_session_in_another_zone_changes_nothing(vendor: str) -> None:
    if vendor == "sqlite":
        pytest.skip("has no session zone")
    with connections[alias()].cursor() as cursor:
        cursor.execute("SET time_zone = '-05:00'")
        row = plain()
        cursor.execute("SET time_zone = DEFAULT")
    assert near(row.created_at)


def test_every_default_time_of_every_table_is_utc() -> None:
    made = rows()
    found = [(t, f.name) for t in TABLES for f in t._meta.concrete_fields if isinstance(f, UtcNowField)]
    assert len(found) >= 19
    for table, name in found:
        row = made[table][-1]
        row.refresh_from_db()
        assert near(getattr(row, name)), (table, name)


def test_default_times_have_the_databases_finest_grain(vendor: str) -> None:
    for n in range(20):
        MonitorEvent.objects.create(event_type="custom", message=str(n))
    grains = {moment.microsecond % 1000 for moment in MonitorEvent.objects.values_list("received_at", flat=True)}
    # SQLite's own clock ends at milliseconds
    assert grains == {0} if vendor == "sqlite" else len(grains) > 1


def test_a_time_that_is_given_is_kept_to_the_microsecond() -> None:
    moment = datetime(2026, 11, 24, 10, 0, 0, 123_456, UTC)
    MonitorEvent.objects.create(event_type="custom", message="x", occurred_at=moment, created_at=moment)
    row = MonitorEvent.objects.get()
    assert (row.occurred_at, row.created_at) == (moment, moment)


def test_the_databases_clock_is_utc() -> None:
    assert near(clock.now())


def test_the_longest_message_of_four_byte_letters_is_kept_whole() -> None:
    text = "\U0001f4a5" * 65_536  # 256 KiB: MySQL's TEXT would end at 64
    MonitorEvent.objects.create(event_type="custom", message=text)
    assert MonitorEvent.objects.get().message == text


def test_what_is_too_long_is_refused_and_never_cut(vendor: str) -> None:
    if vendor == "sqlite":
        pytest.skip("has no lengths")
    with pytest.raises(DataError), transaction.atomic(using=alias()):
        MonitorEvent.objects.create(event_type="custom", message="x", task="t" * 201)


def test_a_new_channel_repeats_after_four_hours_and_may_never_repeat() -> None:
    assert Channel.objects.create(name="usual", kind="email").repeat_after == timedelta(hours=4)
    assert Channel.objects.create(name="quiet", kind="email", repeat_after=None).repeat_after is None
