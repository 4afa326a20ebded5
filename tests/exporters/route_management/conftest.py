"""The gateway's cast: the tenants alpha and beta, alpha's token, and a sender of reports."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from exporters.route_management import known_tenants
from exporters.route_management.request_history import RequestHistory
from tests.exporters.route_management.history import Clock
from tests.exporters.route_management.processes import migrate
from tests.mariadb import MariaDB, free_port
from userdb import tokens
from userdb.models import Tenant

Report = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_history_beside(settings: Any) -> None:
    """No thread of the middleware writes into a test's database; tests of the history bring their own."""
    settings.MISSION_REQUEST_HISTORY = False


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[MariaDB]:
    """A migrated MariaDB of the test's own, which it may kill."""
    server = MariaDB(tmp_path, free_port())
    server.start()
    try:
        migrate(server.url)
        yield server
    finally:
        server.stop()


@pytest.fixture
def alpha(vendor: str) -> Tenant:
    return Tenant.objects.create(name="alpha")


@pytest.fixture
def beta(vendor: str) -> Tenant:
    return Tenant.objects.create(name="beta")


@pytest.fixture
def token(alpha: Tenant) -> str:
    return tokens.create(alpha, "tests")[0]


def event(**fields: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "message": "the run failed", "failure_type": "timeout", "task": "flow"} | fields


@pytest.fixture
def report(client: Client, token: str) -> Report:
    """`report(*events)` sends them as alpha and returns the response; `report(body=b"...")` sends that."""

    def send(*events: dict[str, Any], body: bytes | None = None, path: str = "/api/v1/events", **headers: str) -> Any:
        name = "events" if "v1" in path else "exceptions"
        return client.post(
            path,
            json.dumps({name: events}).encode() if body is None else body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"} | headers,
        )

    return send


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(alpha: Tenant, clock: Clock) -> Iterator[RequestHistory]:
    """A history without a thread: a test does its steps."""
    known_tenants.read()
    yield RequestHistory(background=False, clock=clock)
    known_tenants._names = frozenset()
