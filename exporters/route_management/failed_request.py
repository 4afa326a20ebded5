"""What is told of one failed request: a sentence and a detail. Called by `request_history.py` through `middleware.py`.

Never the path, the query string, a header or the body: these hold what tenants and strangers wrote, secrets included. The one
exception is X-Request-ID where it looks like an id.
"""

import ipaddress
import re
from typing import Any

from django.http import HttpRequest

from runtime.closed_sets import OTHER
from runtime.texts import clean

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
LONGEST_WHY, LONGEST_ROUTE = 200, 200
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=@-]{0,127}")


def route_of(request: HttpRequest) -> str:
    """Return the resolver's pattern of the view, "" where none was found."""
    match = request.resolver_match
    return (match.route or "")[:LONGEST_ROUTE] if match is not None else ""


def told(request: HttpRequest, route: str, reason: str, code: int, seconds: float) -> tuple[str, dict[str, Any]]:
    """Return (message, detail)."""
    method = request.method if request.method in METHODS else OTHER
    milliseconds = round(seconds * 1000, 1)
    detail: dict[str, Any] = {"reason": reason, "method": method, "code": code, "milliseconds": milliseconds}
    why = getattr(request, "mission_failure_why", None)
    further = {
        "route": route,
        "why": clean(str(why))[:LONGEST_WHY] if why is not None else "",
        "request_id": _request_id(request.META.get("HTTP_X_REQUEST_ID")),
        "peer": _peer(request.META.get("REMOTE_ADDR")),
    }
    detail |= {name: value for name, value in further.items() if value}
    words = f"{method} {route or '(no route)'}: {reason}, {code} after {milliseconds:.0f} ms"
    return (f"{words}: {further['why']}" if further["why"] else words), detail


def _request_id(given: Any) -> str:
    return given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else ""


def _peer(given: Any) -> str:
    """Return the peer's IP address; "" for what is none, such as a Unix socket's."""
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        return ""
