"""What the tests of the request history share: a clock, views that answer as they are asked to, and a request to them."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path, resolve
from prometheus_client import REGISTRY

from exporters.route_management.middleware import RequestMetrics
from exporters.route_management.request_history import RequestHistory

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def answer(request: HttpRequest, number: int = 0) -> HttpResponse:
    request.mission_tenant = request.GET.get("as", "alpha")  # type: ignore[attr-defined]
    request.mission_failure_why = request.GET.get("why")  # type: ignore[attr-defined]
    return HttpResponse(status=int(request.GET.get("code", "200")))


urlpatterns = [path("runs/<int:number>/steps", answer), path("plain", answer)]


def ask(history: RequestHistory, at: str = "/runs/7/steps?code=504", method: str = "GET", **headers: Any) -> None:
    request = RequestFactory().generic(method, at, **headers)
    request.resolver_match = resolve(request.path)
    view, _, arguments = request.resolver_match
    RequestMetrics(lambda given: view(given, **arguments), history)(request)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
