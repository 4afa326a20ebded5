"""The alert's page: one timeline from the failures behind it to each try's answer, who was told, and what can be done.

In: an episode's number. Out: HTML from `queries/`; the actions are in `acknowledge.py` and `silences.py`.
"""

from datetime import datetime
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from alert_bridge.pages import acknowledge, silences, story, verdicts
from alert_bridge.pages.spans import span
from alert_bridge.queries import neighbours, timeline, told
from userdb.admin.alerts import AlertAdmin
from userdb.admin.pages import ago
from userdb.models import Acknowledgement, Alert

MAY_ACKNOWLEDGE, MAY_SILENCE = "userdb.acknowledge_alert", "userdb.silence_alert"


class AlertPage(AlertAdmin):
    """Lists episodes as `AlertAdmin` does; one of them is shown as its story."""

    inlines = []

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/acknowledge/", view(require_POST(self.acknowledge)), name="userdb_alert_acknowledge"),
            path("<int:pk>/withdraw/", view(require_POST(self.withdraw)), name="userdb_alert_withdraw"),
            path("<int:pk>/silences/", view(self.silences), name="userdb_alert_silences"),
            path("<int:pk>/silences/expire/", view(require_POST(self.expire)), name="userdb_alert_expire_silence"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        alert = self._found(request, object_id)
        if request.method != "GET" or alert is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, alert):
            raise PermissionDenied
        return TemplateResponse(request, "admin/userdb/alert/page.html", self._page(request, alert))

    def _found(self, request: HttpRequest, object_id: str) -> Alert | None:
        return self.get_object(request, unquote(object_id))

    def _page(self, request: HttpRequest, alert: Alert) -> dict[str, Any]:
        since, until = _moment(request, "since"), _moment(request, "until")
        history = timeline.read(alert, since, until, "newest" in request.GET)
        acknowledgements = list(Acknowledgement.objects.filter(alert=alert)[:20])
        user: Any = request.user
        return {
            **self._frame(request, alert),
            "subtitle": f"Episode {alert.number}",
            "status": self.status(alert),
            "since": _since(alert),
            "lines": story.tell(alert, history),
            "earlier": history.rows.earlier,
            "later": history.rows.later,
            "channels": verdicts.put(alert, told.verdicts(alert), acknowledge.stands(alert.pk)),
            "acknowledgements": acknowledgements,
            "links": _links(alert),
            "labels": sorted(alert.identity.labels.items()),
            "annotations": sorted(alert.annotations.items()),
            "episodes": neighbours.episodes(alert),
            "beside": neighbours.firing_of_tenant(alert),
            "may_acknowledge": alert.state == Alert.State.FIRING and user.has_perm(MAY_ACKNOWLEDGE),
            "may_silence": user.has_perm(MAY_SILENCE),
        }

    def _frame(self, request: HttpRequest, alert: Alert) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": str(alert.identity),
            "opts": self.opts,
            "original": alert,
            "alert": alert,
            "identity": alert.identity,
            "firing": alert.state == Alert.State.FIRING,
            "has_view_permission": True,
        }

    def acknowledge(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Note who took the episode on; 403 without the permission."""
        return acknowledge.view(self, request, pk, MAY_ACKNOWLEDGE)

    def withdraw(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take one acknowledgement back; 403 without the permission."""
        return acknowledge.withdraw_view(self, request, pk, MAY_ACKNOWLEDGE)

    def silences(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: the silences that cover the alert, and a form for one more. POST: make it."""
        alert = self._found(request, str(pk))
        frame = {} if alert is None else self._frame(request, alert)
        return silences.view(self, request, alert, frame, MAY_SILENCE)

    def expire(self, request: HttpRequest, pk: int) -> HttpResponse:
        """End one silence; 403 without the permission."""
        return silences.expire(self, request, self._found(request, str(pk)), MAY_SILENCE)


def _moment(request: HttpRequest, name: str) -> datetime | None:
    """Return the time that a link between the timeline's pages carries; None for what is none."""
    try:
        moment = parse_datetime(request.GET.get(name, ""))
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _since(alert: Alert) -> str:
    """Return how long it has fired, or how long it lasted and when that was."""
    if alert.state == Alert.State.FIRING:
        return f"for {span(timezone.now() - alert.starts_at)}"
    if alert.ends_at is None:
        return "its end is not known"
    return f"{ago(alert.ends_at)}, after {span(alert.ends_at - alert.starts_at)}"


def _links(alert: Alert) -> list[tuple[str, str]]:
    """Return what a reader may follow: only addresses of the web, whatever a rule's annotation says."""
    found = [("Graph", alert.generator_url)]
    found += [
        (name, str(alert.annotations.get(key, "")))
        for name, key in (("Runbook", "runbook_url"), ("Dashboard", "dashboard_url"))
    ]
    return [(name, url) for name, url in found if url.startswith(("http://", "https://"))]
