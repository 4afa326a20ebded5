"""Several gateways at once on one userdb: the same event from all is one row, and each answer counts right."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from exporters.route_management import rows
from exporters.route_management.payload import Event
from tests.exporters.route_management.test_odd_reports import made
from userdb import tokens
from userdb.models import MonitorEvent, ReporterToken, Tenant
from userdb.router import alias

pytestmark = [
    pytest.mark.gate,
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.usefixtures("vendor"),
]
SENDERS, ROUNDS = 4, 25


@pytest.fixture
def reporters(vendor: str) -> list[ReporterToken]:
    return [tokens.create(Tenant.objects.create(name=f"tenant-{n}"), "tests")[1] for n in range(2)]


def together(work: Any) -> list[Any]:
    """Run work(n) of all senders, each with a connection of its own, from the same moment on."""
    barrier = threading.Barrier(SENDERS)

    def one(n: int) -> Any:
        try:
            barrier.wait(20)
            return work(n)
        finally:
            connections[alias()].close()

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(one, range(SENDERS)))


def test_the_same_events_from_all_senders_are_one_row_each(reporters: list[ReporterToken]) -> None:
    for _ in range(ROUNDS):
        events = [made() for _ in range(50)]
        # each in an order of its own, so that locks are asked for crosswise
        orders: list[list[Event]] = [events, events[::-1], events[25:] + events[:25], events]
        accepted = together(lambda n, orders=orders: rows.keep(reporters[0], orders[n]))
        assert sum(accepted) == 50
        assert MonitorEvent.objects.filter(event_id__in=[e.id for e in events]).count() == 50


def test_different_events_from_all_senders_are_all_kept(reporters: list[ReporterToken]) -> None:
    accepted = together(lambda n: [rows.keep(reporters[n % 2], [made() for _ in range(20)]) for _ in range(ROUNDS)])
    assert accepted == [[20] * ROUNDS] * SENDERS
    assert MonitorEvent.objects.count() == 20 * ROUNDS * SENDERS


def test_one_id_of_two_tenants_is_two_rows(reporters: list[ReporterToken]) -> None:
    same = made(id=str(uuid.uuid4()))
    assert sum(together(lambda n: rows.keep(reporters[n % 2], [same]))) == 2
