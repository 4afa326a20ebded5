"""The middleware in a host project: whatever the project's hook, views and other middleware do, each request counts once."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import requests
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from prometheus_client import REGISTRY

from exporters.route_management import known_tenants
from exporters.route_management.middleware import failure_of_exception
from userdb.models import Tenant

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.urls(__name__)]

MIDDLEWARE = "exporters.route_management.middleware.RequestMetrics"
RAISED: dict[str, type[Exception]] = {
    "missing": Http404,
    "forbidden": PermissionDenied,
    "bad": BadRequest,
    "timeout": TimeoutError,
}


class HandledElsewhere:
    """A host's own middleware: turns a TimeoutError into a page of its own."""

    def __init__(self, get_response: object) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)  # type: ignore[operator,no-any-return]

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return HttpResponse("later", status=200) if isinstance(exception, TimeoutError) else None


def fail(request: HttpRequest) -> HttpResponse:
    raise RAISED[request.GET["how"]]


urlpatterns = [path("fail", fail), path("ok", lambda request: HttpResponse())]


@pytest.fixture(autouse=True)
def _middleware(settings: object) -> Iterator[None]:
    settings.MIDDLEWARE = [MIDDLEWARE]  # type: ignore[attr-defined]
    Tenant.objects.create(name="alpha")
    known_tenants.read()
    yield
    known_tenants._names = frozenset()


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def failures() -> float:
    family = (s for m in REGISTRY.collect() for s in m.samples if s.name == "mission_gateway_request_failures_total")
    return sum(s.value for s in family)


def broken(request: HttpRequest) -> str | None:
    raise KeyError("host's own mistake")


def odd(request: HttpRequest) -> list[str]:
    return ["alpha"]


@pytest.mark.parametrize("hook", ["broken", "odd"])
def test_a_hook_that_fails_is_not_the_requests_failure(client: Client, settings: object, hook: str) -> None:
    settings.MISSION_TENANT_HOOK = f"{__name__}.{hook}"  # type: ignore[attr-defined]
    before = sample("mission_gateway_requests_total", tenant="unknown", code="2xx")
    assert client.get("/ok").status_code == 200
    assert sample("mission_gateway_requests_total", tenant="unknown", code="2xx") == before + 1


def stranger(request: HttpRequest) -> str:
    return "made-up"


def test_a_name_that_nobody_knows_is_folded_once_a_request(client: Client, settings: object) -> None:
    settings.MISSION_TENANT_HOOK = f"{__name__}.stranger"  # type: ignore[attr-defined]
    before = sample("mission_labels_folded_total", label="tenant")
    client.get("/ok")
    assert sample("mission_labels_folded_total", label="tenant") == before + 1


def test_a_request_of_nobody_is_not_folded(client: Client) -> None:
    before = sample("mission_labels_folded_total", label="tenant")
    client.get("/ok")
    assert sample("mission_labels_folded_total", label="tenant") == before


def test_a_middleware_named_twice_counts_once(client: Client, settings: object) -> None:
    settings.MIDDLEWARE = [MIDDLEWARE, MIDDLEWARE]  # type: ignore[attr-defined]
    before = sample("mission_gateway_requests_total", tenant="unknown", code="2xx")
    client.get("/ok")
    assert sample("mission_gateway_requests_total", tenant="unknown", code="2xx") == before + 1


@pytest.mark.parametrize(("how", "status"), [("missing", 404), ("bad", 400)])
def test_an_exception_that_stands_for_a_4xx_is_no_failure(client: Client, how: str, status: int) -> None:
    before = failures()
    assert client.get(f"/fail?how={how}").status_code == status
    assert failures() == before


def test_permission_denied_is_a_failure_of_auth(client: Client) -> None:
    before = sample("mission_gateway_request_failures_total", tenant="unknown", reason="auth")
    client.get("/fail?how=forbidden")
    assert sample("mission_gateway_request_failures_total", tenant="unknown", reason="auth") == before + 1


def test_an_exception_that_another_middleware_answered_is_no_failure(client: Client, settings: object) -> None:
    settings.MIDDLEWARE = [MIDDLEWARE, f"{__name__}.HandledElsewhere"]  # type: ignore[attr-defined]
    before = failures()
    assert client.get("/fail?how=timeout").status_code == 200
    assert failures() == before


def test_a_disabled_tenant_keeps_its_series(client: Client, settings: object) -> None:
    Tenant.objects.update(enabled=False)
    known_tenants.read()
    assert "alpha" in known_tenants.names()


def test_a_tenant_that_becomes_known_has_its_counters_at_0() -> None:
    Tenant.objects.create(name="newborn")
    known_tenants.read()
    for name, labels in (
        ("mission_gateway_request_failures_total", {"reason": "upstream"}),
        ("mission_reports_received_total", {"result": "rejected"}),
    ):
        assert REGISTRY.get_sample_value(name, {"tenant": "newborn", **labels}) == 0


def chained(outer: Exception, *inner: Exception) -> Exception:
    """Return `outer` as HTTP clients raise it: while handling an error that was raised while handling another."""
    errors = [outer, *inner]
    for error, cause in pairwise(errors):
        error.__context__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (chained(RuntimeError("client's"), OSError("pool's"), ConnectionRefusedError()), "refused"),
        (chained(RuntimeError("client's"), TimeoutError()), "timeout"),
        (chained(RuntimeError("client's"), ConnectionResetError()), "upstream"),
        (chained(RuntimeError("client's"), ConnectionAbortedError()), "upstream"),
        (BrokenPipeError(), "client_gone"),
        (chained(KeyError(), ValueError()), "error"),
    ],
)
def test_the_end_of_a_chain_says_why(error: Exception, reason: str) -> None:
    assert failure_of_exception(error) == reason


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError(), KeyError()
    one.__context__, two.__context__ = two, one
    assert failure_of_exception(one) == "error"


def test_requests_own_errors_are_told_apart() -> None:
    with pytest.raises(requests.ConnectionError) as raised:
        requests.get("http://127.0.0.1:1/", timeout=1)
    assert failure_of_exception(raised.value) == "refused"
