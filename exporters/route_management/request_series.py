"""The metrics of requests, and one tenant's series of each, looked up once. Called by `middleware.py` at each request.

A look-up by labels costs prometheus-client about a microsecond, and a request has five.
"""

from prometheus_client import Counter, Gauge, Histogram

from exporters.route_management import known_tenants
from runtime.closed_sets import REQUEST_FAILURES, UNKNOWN

REQUESTS = Counter("mission_gateway_requests_total", "Requests answered.", ["tenant", "code"])
SECONDS = Histogram(
    "mission_gateway_request_duration_seconds",
    "From the request's arrival to the end of its answer, of a streamed one to its last byte.",
    ["tenant"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60),
)
IN_PROGRESS = Gauge("mission_gateway_requests_in_progress", "Requests under way.", ["tenant"])
FAILURES = Counter("mission_gateway_request_failures_total", "Requests that failed.", ["tenant", "reason"])


class _Classes(dict[int, Counter]):
    """Counters by class of status, each made with its first request: no series of classes that never were."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def __missing__(self, hundreds: int) -> Counter:
        found = self[hundreds] = REQUESTS.labels(self._tenant, f"{hundreds}xx")
        return found


class Series:
    """One tenant's series."""

    __slots__ = ("failures", "in_progress", "requests", "seconds", "tenant")

    def __init__(self, tenant: str) -> None:
        """`tenant` is known, or `unknown`."""
        self.tenant = tenant
        self.requests = _Classes(tenant)
        self.seconds = SECONDS.labels(tenant)
        self.in_progress = IN_PROGRESS.labels(tenant)
        self.failures = {reason: FAILURES.labels(tenant, reason) for reason in REQUEST_FAILURES}


_series: dict[str, Series] = {}


def series(tenant: str) -> Series:
    """Return the series of a known tenant, or of `unknown`: no more of them than userdb has had tenants."""
    found = _series.get(tenant)
    if found is None:
        found = _series[tenant] = Series(tenant)
    return found


def _failures_at_zero(tenant: str) -> None:
    for reason in REQUEST_FAILURES:
        FAILURES.labels(tenant, reason)


_failures_at_zero(UNKNOWN)
known_tenants.on_known(_failures_at_zero)
