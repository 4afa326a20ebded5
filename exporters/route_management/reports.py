"""HTTP in: a tenant's reports. Each view authenticates, parses, calls `rows.keep`, and maps its result to a status.

200 once committed and never before; 400 only for a body that can't be read at all; 429 when a tenant has used up its share;
503 when userdb is out of reach.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, DataError, InterfaceError, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import Counter

from exporters.route_management import known_tenants, payload, rows
from exporters.route_management.limits import Limited, Limits, Rates
from exporters.route_management.payload import MOST_EVENTS, Report
from exporters.route_management.reporters import reporter
from runtime.bodies import BodyTooLarge, BodyUnreadable, read_body
from runtime.closed_sets import FAILURE_TYPES, UNKNOWN
from runtime.settings import SettingsError, env_text
from userdb import health
from userdb.models import ReporterToken
from userdb.router import alias
from userdb.transactions import UserdbAway

log = logging.getLogger(__name__)

BODY_LIMIT = 8 * 1024 * 1024
RESULTS = ("accepted", "duplicate", "rejected", "unreadable", "too_large", "limited", "unavailable")
REFUSED_UNKNOWN = ("unauthorized", "wrong_method")
"""Results of reports whose tenant is not known."""
RECEIVED = Counter(
    "mission_reports_received_total",
    "Events reported, by what became of them; a report that was refused as a whole counts once.",
    ["tenant", "result"],
)
FOLDED = Counter("mission_labels_folded_total", "Values that no closed set or list of names knows.", ["label"])
SKEWED = Counter("mission_report_clock_skew_total", "Events whose time can't be: kept with the time of receipt.")
for _label in ("failure_type", "tenant"):
    FOLDED.labels(_label)
for _result in REFUSED_UNKNOWN:
    RECEIVED.labels(UNKNOWN, _result)


def _results_at_zero(tenant: str) -> None:
    for result in RESULTS:
        RECEIVED.labels(tenant, result)


_results_at_zero(UNKNOWN)
known_tenants.on_known(_results_at_zero)

_LATER = {"Retry-After": "5"}
Parse = Callable[[bytes, str, datetime], Report]


@cache
def reports_timezone() -> ZoneInfo:
    """Return REPORTS_TIMEZONE, the zone of times that say none; SettingsError when there is no such zone."""
    name = env_text("REPORTS_TIMEZONE", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SettingsError(f"REPORTS_TIMEZONE: {name!r} is no time zone such as Asia/Shanghai") from error


@cache
def limits() -> Limits:
    """Return this process' limits of tenants; SettingsError when a variable holds no such number."""
    return Limits(Rates.of_environment(), {"events": MOST_EVENTS, "bytes": BODY_LIMIT})


# a token says who sends, no cookie does: a host project's CSRF and login middleware have no say here
@csrf_exempt
@login_not_required
def events(request: HttpRequest) -> HttpResponse:
    """`POST /api/v1/events`."""
    return _answer(request, lambda body, tenant, now: payload.parse_events(body, now))


@csrf_exempt
@login_not_required
def exceptions(request: HttpRequest) -> HttpResponse:
    """`POST /api/exceptions/report/`, as containers already deployed call it."""
    zone = reports_timezone()
    return _answer(request, lambda body, tenant, now: payload.parse_exceptions(body, tenant, now, zone))


def _refuse(status: int, result: str, text: str, tenant: str = UNKNOWN, **headers: str) -> HttpResponse:
    RECEIVED.labels(tenant, result).inc()
    log.warning("report refused", extra={"status": status, "tenant": tenant, "reason": text})
    return JsonResponse({"error": text}, status=status, headers=headers)


def _limited(error: Limited, tenant: str) -> HttpResponse:
    return _refuse(429, "limited", str(error), tenant, **{"Retry-After": str(error.retry_after)})


def _away(request: HttpRequest, error: Exception, tenant: str = UNKNOWN) -> HttpResponse:
    request.mission_failure = "error"  # type: ignore[attr-defined]  # our own, where a gateway's 503 is a pod's refusal
    if isinstance(error, DataError):
        # nothing of the report is kept: the rows are wrong, not the connection
        log.exception("events not stored")
        return _refuse(503, "unavailable", "userdb refused the events' rows: see the log", tenant, **_LATER)
    connections[alias()].close()
    health.UP.set(0)
    log.error("userdb away", extra={"error": str(error)})
    return _refuse(503, "unavailable", "userdb is out of reach", tenant, **_LATER)


def _answer(request: HttpRequest, parse: Parse) -> HttpResponse:
    if request.method != "POST":
        return _refuse(405, "wrong_method", "use POST", Allow="POST")
    try:
        token = reporter(request.headers.get("Authorization", ""))
    except (DatabaseError, InterfaceError) as error:
        return _away(request, error)
    if token is None:
        why = "the reporter token is missing, unknown, expired or revoked"
        request.mission_failure_why = why  # type: ignore[attr-defined]
        return _refuse(401, "unauthorized", why, **{"WWW-Authenticate": 'Bearer realm="reports"'})
    tenant = token.tenant.name
    request.mission_tenant = tenant  # type: ignore[attr-defined]  # the middleware's default hook reads it
    try:
        limits().enter(tenant)
    except Limited as error:
        return _limited(error, tenant)
    try:
        return _taken(request, token, parse)
    finally:
        limits().leave(tenant)


def _taken(request: HttpRequest, token: ReporterToken, parse: Parse) -> HttpResponse:
    tenant = token.tenant.name
    try:
        body = read_body(request, request.headers.get("Content-Encoding", ""), BODY_LIMIT)
        limits().spend(tenant, "bytes", len(body))
        report = parse(body, tenant, timezone.now())
        limits().spend(tenant, "events", len(report.events) + len(report.rejected))
        return _kept(token, report)
    except Limited as error:
        return _limited(error, tenant)
    except (BodyTooLarge, payload.TooManyEvents) as error:
        return _refuse(413, "too_large", str(error), tenant)
    except (BodyUnreadable, payload.UnreadableReport) as error:
        return _refuse(400, "unreadable", str(error), tenant)
    except (UserdbAway, DatabaseError, InterfaceError) as error:
        return _away(request, error, tenant)


def _kept(token: ReporterToken, report: Report) -> HttpResponse:
    tenant, events = token.tenant.name, report.events
    accepted = rows.keep(token, events) if events else 0
    health.UP.set(1)
    duplicates = len(events) - accepted
    for result, count in (("accepted", accepted), ("duplicate", duplicates), ("rejected", len(report.rejected))):
        RECEIVED.labels(tenant, result).inc(count)
    FOLDED.labels("failure_type").inc(sum(e.failure_type not in (*FAILURE_TYPES, "") for e in events))
    SKEWED.inc(sum(e.skewed for e in events))
    rejected = [{"index": r.index, "id": r.id, "reason": r.reason} for r in report.rejected]
    log.info(
        "report accepted",
        extra={
            "tenant": tenant, "accepted": accepted, "duplicates": duplicates, "rejected": len(rejected),
            "events": json.dumps([e.id for e in events]),
        },
    )  # fmt: skip
    return JsonResponse({"accepted": accepted, "duplicates": duplicates, "rejected": rejected})
