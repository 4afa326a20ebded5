"""Whose request it is: the host project's own middleware, and the hook by which the chain asks it."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class TenantOfPath:
    """`/pods/<tenant>/...` belongs to that tenant."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        parts = request.path_info.split("/")
        request.tenant = parts[2] if parts[1] == "pods" and len(parts) > 3 else None  # type: ignore[attr-defined]
        return self.get_response(request)


def tenant_of(request: HttpRequest) -> str | None:
    return getattr(request, "tenant", None)
