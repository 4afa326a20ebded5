"""The request middleware: every request counts once, under a tenant that userdb knows and a reason out of a closed set."""

from collections.abc import Iterator

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from prometheus_client import REGISTRY

from exporters.route_management import known_tenants
from userdb.models import Tenant

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.urls(__name__),
]


def answer(request: HttpRequest) -> HttpResponse:
    request.mission_tenant = request.GET.get("as")  # type: ignore[attr-defined]
    return HttpResponse(status=int(request.GET.get("code", "200")))


def fail(request: HttpRequest) -> HttpResponse:
    raise {"timeout": TimeoutError, "refused": ConnectionRefusedError, "error": KeyError}[request.GET["how"]]()


def told(request: HttpRequest) -> HttpResponse:
    request.mission_failure = request.GET["reason"]  # type: ignore[attr-defined]
    return HttpResponse(status=502)


urlpatterns = [path("answer", answer), path("fail", fail), path("told", told)]


@pytest.fixture(autouse=True)
def _middleware(settings: object) -> Iterator[None]:
    settings.MIDDLEWARE = ["exporters.route_management.middleware.RequestMetrics"]  # type: ignore[attr-defined]
    Tenant.objects.create(name="alpha")
    known_tenants.read()
    yield
    known_tenants._names = frozenset()


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(("code", "label"), [(200, "2xx"), (302, "3xx"), (404, "4xx"), (500, "5xx")])
def test_requests_are_counted_by_tenant_and_class(client: Client, code: int, label: str) -> None:
    before = sample("mission_gateway_requests_total", tenant="alpha", code=label)
    client.get(f"/answer?as=alpha&code={code}")
    assert sample("mission_gateway_requests_total", tenant="alpha", code=label) == before + 1


@pytest.mark.parametrize("name", ["gamma", "Alpha", ""])
def test_a_tenant_that_userdb_does_not_know_is_unknown(client: Client, name: str) -> None:
    before = sample("mission_gateway_requests_total", tenant="unknown", code="2xx")
    client.get(f"/answer?as={name}")
    assert sample("mission_gateway_requests_total", tenant="unknown", code="2xx") == before + 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [(401, "auth"), (403, "auth"), (504, "timeout"), (502, "upstream"), (503, "refused"), (500, "error")],
)
def test_failures_are_told_apart_by_their_code(client: Client, code: int, reason: str) -> None:
    before = sample("mission_gateway_request_failures_total", tenant="alpha", reason=reason)
    client.get(f"/answer?as=alpha&code={code}")
    assert sample("mission_gateway_request_failures_total", tenant="alpha", reason=reason) == before + 1


@pytest.mark.parametrize("how", ["timeout", "refused", "error"])
def test_failures_are_told_apart_by_their_exception(client: Client, how: str) -> None:
    client.raise_request_exception = False
    before = sample("mission_gateway_request_failures_total", tenant="unknown", reason=how)
    assert client.get(f"/fail?how={how}").status_code == 500
    assert sample("mission_gateway_request_failures_total", tenant="unknown", reason=how) == before + 1


@pytest.mark.parametrize(("reason", "label"), [("client_gone", "client_gone"), ("made up", "error")])
def test_a_view_may_say_why_within_the_closed_set(client: Client, reason: str, label: str) -> None:
    before = sample("mission_gateway_request_failures_total", tenant="unknown", reason=label)
    client.get(f"/told?reason={reason}")
    assert sample("mission_gateway_request_failures_total", tenant="unknown", reason=label) == before + 1


def test_a_clients_own_mistake_is_no_failure(client: Client) -> None:
    client.get("/answer?as=alpha&code=404")
    rows = [s for m in REGISTRY.collect() for s in m.samples if s.name == "mission_gateway_request_failures_total"]
    assert {s.labels["reason"] for s in rows} <= {"timeout", "auth", "refused", "upstream", "error", "client_gone"}


def test_what_was_under_way_is_over(client: Client) -> None:
    client.get("/answer?as=alpha")
    assert sample("mission_gateway_requests_in_progress", tenant="unknown") == 0
    assert sample("mission_gateway_requests_in_progress", tenant="alpha") == 0


def test_made_up_methods_make_no_series(client: Client) -> None:
    client.generic("BREW", "/answer?as=alpha")
    assert not any("BREW" in s.labels.values() for m in REGISTRY.collect() for s in m.samples)


def hook_of_tests(request: HttpRequest) -> str | None:
    return request.headers.get("X-Tenant")


def test_a_host_projects_hook_names_the_tenant(client: Client, settings: object) -> None:
    settings.MISSION_TENANT_HOOK = f"{__name__}.hook_of_tests"  # type: ignore[attr-defined]
    before = sample("mission_gateway_requests_total", tenant="alpha", code="2xx")
    client.get("/answer", headers={"X-Tenant": "alpha"})
    assert sample("mission_gateway_requests_total", tenant="alpha", code="2xx") == before + 1
