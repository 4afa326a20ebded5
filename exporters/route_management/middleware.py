"""Django middleware of the gateway: counts every request by tenant, class of answer and kind of failure, and times it.

In a host project: `MIDDLEWARE = ["exporters.route_management.middleware.RequestMetrics", ...]`, first, so that it sees what
the others answer. Whose request it is, is the request's attribute `mission_tenant`, or what the function named by the
setting MISSION_TENANT_HOOK returns for the request; a name that userdb does not know counts as `unknown`. What the hook
raises is logged, never the request's failure.
"""

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from prometheus_client import Counter, Gauge, Histogram

from exporters.route_management import known_tenants
from exporters.route_management.reports import FOLDED
from runtime.closed_sets import REQUEST_FAILURES, UNKNOWN

log = logging.getLogger(__name__)
Hook = Callable[[HttpRequest], str | None]

REQUESTS = Counter("mission_gateway_requests_total", "Requests answered.", ["tenant", "code"])
SECONDS = Histogram(
    "mission_gateway_request_duration_seconds",
    "From the request's arrival to its answer.",
    ["tenant"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60),
)
IN_PROGRESS = Gauge("mission_gateway_requests_in_progress", "Requests under way.", ["tenant"])
FAILURES = Counter("mission_gateway_request_failures_total", "Requests that failed.", ["tenant", "reason"])


def _failures_at_zero(tenant: str) -> None:
    for reason in REQUEST_FAILURES:
        FAILURES.labels(tenant, reason)


_failures_at_zero(UNKNOWN)
known_tenants.on_known(_failures_at_zero)

_BY_CODE = {
    401: "auth",
    403: "auth",
    407: "auth",
    408: "timeout",
    504: "timeout",
    502: "upstream",
    503: "refused",
    499: "client_gone",
}


def tenant_of_attribute(request: HttpRequest) -> str | None:
    """Return the request's `mission_tenant`: the default hook."""
    return getattr(request, "mission_tenant", None)


def failure_of_code(code: int) -> str | None:
    """Return why a request with this status failed, None when it did not: a client's own mistake is no failure of ours."""
    return _BY_CODE.get(code) or ("error" if code >= 500 else None)


def failure_of_exception(error: BaseException) -> str:
    """Return the reason that an exception of a view stands for.

    HTTP clients (requests, urllib3, httpx) raise errors of their own, whose chain ends in the socket's.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, TimeoutError):
            return "timeout"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        if isinstance(cause, (BrokenPipeError, ConnectionResetError)):
            return "client_gone" if cause is error else "upstream"
        if isinstance(cause, ConnectionError):
            return "upstream"
        cause = cause.__cause__ or cause.__context__
    return "error"


def _label(name: str | None) -> str:
    return name if name is not None and name in known_tenants.names() else UNKNOWN


class RequestMetrics:
    """The middleware. A view that knows better why a request failed sets `request.mission_failure` to that reason."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        name = getattr(settings, "MISSION_TENANT_HOOK", None)
        self.hook: Hook = import_string(name) if name else tenant_of_attribute

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if hasattr(request, "_mission_counted"):
            return self.get_response(request)  # named twice in MIDDLEWARE: the outer one counts
        request._mission_counted = True  # type: ignore[attr-defined]
        began = time.perf_counter()
        # before the views the tenant may not be known: what went up must come down under the same name
        gauge = IN_PROGRESS.labels(_label(self._named(request)))
        gauge.inc()
        code = 500
        try:
            response = self.get_response(request)
            code = response.status_code
            return response
        finally:
            gauge.dec()
            self._count(request, code, time.perf_counter() - began)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        # a word to be remembered, no verdict: Http404 and PermissionDenied pass here too, and become a 4xx
        request._mission_raised = failure_of_exception(exception)  # type: ignore[attr-defined]

    def _named(self, request: HttpRequest) -> str | None:
        try:
            name = self.hook(request)
        except Exception:
            log.exception("MISSION_TENANT_HOOK failed")
            return None
        return None if name is None else str(name)

    def _count(self, request: HttpRequest, code: int, seconds: float) -> None:
        name = self._named(request)
        tenant = _label(name)
        if name not in (None, tenant):
            FOLDED.labels("tenant").inc()
        REQUESTS.labels(tenant, f"{code // 100}xx").inc()
        SECONDS.labels(tenant).observe(seconds)
        raised = getattr(request, "_mission_raised", None) if code >= 500 else None
        reason = getattr(request, "mission_failure", None) or raised or failure_of_code(code)
        if reason is not None:
            FAILURES.labels(tenant, reason if reason in REQUEST_FAILURES else "error").inc()
