"""Django middleware of the gateway: counts every request by tenant, class of answer and kind of failure, and times it.

In a host project: `MIDDLEWARE = ["exporters.route_management.middleware.RequestMetrics", ...]`, first, so that it sees what
the others answer; under WSGI and ASGI. Whose request it is, is the request's attribute `mission_tenant`, or what the function
named by the setting MISSION_TENANT_HOOK returns for the request; a name that userdb does not know counts as `unknown`. What
the hook raises is logged, never the request's failure. Failed requests and minutes go on to `request_history.py`.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from exporters.route_management import failed_request, known_tenants, request_history, streaming
from exporters.route_management.outcomes import failure_of_code, failure_of_exception
from exporters.route_management.reports import FOLDED
from exporters.route_management.request_history import RequestHistory
from exporters.route_management.request_series import Series, series
from runtime.closed_sets import REQUEST_FAILURES, UNKNOWN

log = logging.getLogger(__name__)
Hook = Callable[[HttpRequest], str | None]
SUCCESS = "success"


def tenant_of_attribute(request: HttpRequest) -> str | None:
    """Return the request's `mission_tenant`: the default hook."""
    return getattr(request, "mission_tenant", None)


def _label(name: str | None) -> str:
    return name if name is not None and name in known_tenants.names() else UNKNOWN


class RequestMetrics:
    """The middleware. A view that knows better why a request failed sets `request.mission_failure` to that reason.

    `request.mission_failure_why` (a short text: "token expired") goes into the event's detail, never into a label.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any], history: RequestHistory | None = None) -> None:
        """`history` is the process' own, unless the setting MISSION_REQUEST_HISTORY is False."""
        self.get_response = get_response
        name = getattr(settings, "MISSION_TENANT_HOOK", None)
        self.hook: Hook = import_string(name) if name else tenant_of_attribute
        self._asynchronous = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)
        if history is None and getattr(settings, "MISSION_REQUEST_HISTORY", True):
            history = request_history.of_process()
        self._history = history

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if hasattr(request, "_mission_counted"):
            return self.get_response(request)  # type: ignore[no-any-return]  # named twice in MIDDLEWARE: the outer one counts
        request._mission_counted = True  # type: ignore[attr-defined]
        if self._asynchronous:
            return self._answered(request)
        began, opened = self._open(request)
        try:
            response: HttpResponseBase = self.get_response(request)
        except BaseException as error:
            self._close(request, opened, began, 500, failure_of_exception(error))
            raise
        self._watch(request, opened, began, response)
        return response

    async def _answered(self, request: HttpRequest) -> HttpResponseBase:
        if known_tenants.unread():
            await sync_to_async(known_tenants.names)()  # Django lets no statement run in an event loop
        began, opened = self._open(request)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except BaseException as error:
            self._close(request, opened, began, 500, failure_of_exception(error))
            raise
        self._watch(request, opened, began, response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        # a word to be remembered, no verdict: Http404 and PermissionDenied pass here too, and become a 4xx
        request._mission_raised = failure_of_exception(exception)  # type: ignore[attr-defined]

    def _open(self, request: HttpRequest) -> tuple[float, Series]:
        began = time.perf_counter()
        # before the views the tenant may not be known: what went up must come down under the same name
        opened = series(_label(self._named(request)))
        opened.in_progress.inc()
        return began, opened

    def _watch(self, request: HttpRequest, opened: Series, began: float, response: HttpResponseBase) -> None:
        code = response.status_code
        if isinstance(response, StreamingHttpResponse):
            streaming.watch(request, response, partial(self._close, request, opened, began, code))
        else:
            self._close(request, opened, began, code)

    def _named(self, request: HttpRequest) -> str | None:
        try:
            name = self.hook(request)
        except Exception:
            log.exception("MISSION_TENANT_HOOK failed")
            return None
        return None if name is None else str(name)

    def _close(self, request: HttpRequest, opened: Series, began: float, code: int, ended: str | None = None) -> None:
        """Count a request that is over; `ended` is the reason that the end itself gave."""
        seconds = time.perf_counter() - began
        opened.in_progress.dec()
        name = self._named(request)
        tenant = _label(name)
        if name not in (None, tenant):
            FOLDED.labels("tenant").inc()
        of_tenant = opened if opened.tenant == tenant else series(tenant)
        of_tenant.requests[code // 100].inc()
        of_tenant.seconds.observe(seconds)
        raised = getattr(request, "_mission_raised", None) if code >= 500 else None
        reason = getattr(request, "mission_failure", None) or ended or raised or failure_of_code(code)
        if reason is not None:
            reason = reason if reason in REQUEST_FAILURES else "error"
            of_tenant.failures[reason].inc()
        if self._history is not None:
            self._keep(self._history, request, tenant, reason, code, seconds)

    @staticmethod
    def _keep(
        history: RequestHistory, request: HttpRequest, tenant: str, reason: str | None, code: int, seconds: float
    ) -> None:
        try:
            history.count(tenant, reason or SUCCESS, seconds)
            if reason is not None:
                route = failed_request.route_of(request)
                history.failed(
                    tenant, route, reason, partial(failed_request.told, request, route, reason, code, seconds)
                )
        except Exception:
            log.exception("a request is missing in the history")
