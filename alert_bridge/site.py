"""The admin service's site: Django's admin with the chain's state on its front page. Named by `apps.MonitorAdminConfig`."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse

from alert_bridge.pages import front


class MonitorSite(AdminSite):
    site_header = site_title = "Mission Monitor"
    index_title = "Monitoring"
    index_template = "admin/front.html"

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show what fires, what waits and who fails, to whoever may look at alerts; below it the lists, as ever."""
        shown = front.show() if request.user.has_perm("userdb.view_alert") else {}
        return super().index(request, {**shown, **(extra_context or {})})
