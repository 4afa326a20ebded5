"""Work runs again when the database asks for it, within its deadline; what can't be done leaves nothing behind."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.db import DataError, connections

from userdb.models import Tenant
from userdb.router import alias
from userdb.transactions import RERUNS, UserdbAway, in_transaction

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.usefixtures("vendor")]


def reruns(reason: str) -> float:
    return float(RERUNS.labels(reason)._value.get())


def apart(*works: Callable[[], Any]) -> list[Any]:
    """Run each in a thread with a connection of its own."""

    def one(work: Callable[[], Any]) -> Any:
        try:
            return work()
        finally:
            connections[alias()].close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def rename(tenant: Tenant, title: str) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(title=title)


def test_work_is_committed_once_it_returns() -> None:
    assert in_transaction(lambda: Tenant.objects.create(name="alpha").name) == "alpha"
    assert Tenant.objects.exists()


def test_an_error_of_the_work_itself_is_passed_on_and_nothing_is_kept() -> None:
    def work() -> None:
        Tenant.objects.create(name="alpha")
        raise DataError("x")

    with pytest.raises(DataError):
        in_transaction(work)
    assert not Tenant.objects.exists()


def test_of_two_in_each_others_way_both_come_through(vendor: str) -> None:
    """On MySQL a real deadlock; SQLite has but one writer."""
    a, b = (Tenant.objects.create(name=name) for name in ("a", "b"))
    before = reruns("deadlock")
    met = threading.Barrier(2)

    def crosswise(first: Tenant, second: Tenant) -> Callable[[], None]:
        tries: list[int] = []

        def work() -> None:
            tries.append(1)
            rename(first, "x")
            if len(tries) == 1 and vendor == "mysql":
                met.wait(5)
            rename(second, "y")

        return lambda: in_transaction(work)

    apart(crosswise(a, b), crosswise(b, a))
    assert Tenant.objects.exclude(title="").count() == 2
    assert reruns("deadlock") == before + (vendor == "mysql")


@pytest.fixture
def locked(vendor: str) -> Iterator[Callable[[], None]]:
    """Somebody else holds the lock of the row `held`; the value ends that."""
    tenant = Tenant.objects.create(name="held")
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        def work() -> None:
            rename(tenant, "holder's")
            taken.set()
            over.wait(20)

        in_transaction(work)
        connections[alias()].close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(10)
    yield over.set
    over.set()
    holder.join()


def test_beyond_its_deadline_userdb_is_away(vendor: str, locked: Callable[[], None]) -> None:
    reason = "busy" if vendor == "sqlite" else "lock_timeout"
    before = reruns(reason)
    with pytest.raises(UserdbAway, match=rf"no success within 1 s \({reason}\)"):
        in_transaction(lambda: rename(Tenant.objects.get(name="held"), "mine"), deadline=1)
    assert reruns(reason) == before + 1
    locked()


def test_work_that_waited_for_a_lock_comes_through(vendor: str, locked: Callable[[], None]) -> None:
    ends = threading.Timer(0.2, locked)
    ends.start()
    in_transaction(lambda: rename(Tenant.objects.get(name="held"), "mine"))
    ends.join()
    assert Tenant.objects.get().title == "mine"


def test_a_database_that_is_gone_is_away_at_once(vendor: str) -> None:
    connection = connections[alias()]
    if vendor == "sqlite":
        name = connection.settings_dict["NAME"]
        connection.close()
        connection.settings_dict["NAME"] = "file:/nowhere/userdb.sqlite3?mode=rw"
        try:
            with pytest.raises(UserdbAway, match="unable to open database file"):
                in_transaction(Tenant.objects.exists)
        finally:
            connection.settings_dict["NAME"] = name
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        number = cursor.fetchone()[0]
    apart(lambda: _kill(number))
    with pytest.raises(UserdbAway):
        in_transaction(Tenant.objects.exists)
    assert in_transaction(Tenant.objects.exists) is False  # the next one has a connection of its own


def _kill(number: int) -> None:
    with connections["mysql"].cursor() as cursor:
        cursor.execute("KILL %s", [number])


def test_sqlites_error_without_a_number_is_known() -> None:
    """rerun_reason goes by its text: it must be what sqlite3 says."""
    with closing(sqlite3.connect("file:x?mode=memory&cache=shared", uri=True)) as one:
        one.execute("CREATE TABLE t (x)")
        one.commit()
        one.execute("INSERT INTO t VALUES (1)")
        with (
            closing(sqlite3.connect("file:x?mode=memory&cache=shared", uri=True, timeout=0)) as two,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            two.execute("INSERT INTO t VALUES (2)")
