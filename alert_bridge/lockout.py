"""The login's throttle (django-axes): who fails too often is refused for a while, and told for how long.

What is counted is the pair of user name and address: a stranger who guesses locks himself out, not the user elsewhere. An
address is believed as `proxies.py` leaves it. Settings: LOGIN_FAILURES, LOGIN_LOCK_MINUTES.
"""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from alert_bridge.pages.spans import span
from runtime.settings import env_number

log = logging.getLogger(__name__)


def failures() -> int:
    """Return after how many failed logins a user name is refused from an address (LOGIN_FAILURES)."""
    return int(env_number("LOGIN_FAILURES", 5, 1, 1000))


def length() -> timedelta:
    """Return for how long (LOGIN_LOCK_MINUTES)."""
    return timedelta(minutes=env_number("LOGIN_LOCK_MINUTES", 15, 0.01, 10080))


def address(request: HttpRequest) -> str:
    """Return whose try it is: what `proxies.py` made of the connection, never a header of a stranger."""
    return str(request.META.get("REMOTE_ADDR", ""))


def refuse(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
    """Answer 429 and say when to come again; called by axes with the failed credentials, which are not repeated."""
    left = _left(request)
    log.warning("login refused", extra={"address": address(request), "seconds": round(left.total_seconds())})
    answer = render(request, "admin/locked.html", {"left": span(left), "title": "Too many failed logins"}, status=429)
    answer["Retry-After"] = str(max(1, round(left.total_seconds())))
    return answer


def _left(request: HttpRequest) -> timedelta:
    """Return how long the refusal still holds: it begins with the last failure that was counted."""
    from axes.models import AccessAttempt

    rows = AccessAttempt.objects.filter(
        ip_address=address(request) or None,
        username=request.POST.get("username", "")[:255],
        failures_since_start__gte=settings.AXES_FAILURE_LIMIT,
    )
    last = rows.order_by("-attempt_time").values_list("attempt_time", flat=True).first()
    cooloff: timedelta = settings.AXES_COOLOFF_TIME
    return cooloff if last is None else max(timedelta(seconds=1), last + cooloff - timezone.now())
