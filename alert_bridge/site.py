"""The admin service's site: Django's admin with the chain's state on its front page. Named by `apps.MonitorAdminConfig`."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse

from alert_bridge.pages import front

_NEVER_FILLED = ("AccessLog", "AccessFailureLog")
"""Tables of django-axes that our settings leave off: Django keeps each user's last login."""


class MonitorSite(AdminSite):
    site_header = site_title = "Mission Monitor"
    index_title = "Monitoring"
    index_template = "admin/front.html"
    site_url = None  # "View site" would lead to where one is

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the lists: what is monitored first, then people and their logins, without the tables that stay empty."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["models"] = [model for model in app["models"] if model["object_name"] not in _NEVER_FILLED]
        return sorted(apps, key=lambda app: app["app_label"] != "userdb")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show what fires, what waits and who fails, to whoever may look at alerts; below it the lists, as ever."""
        shown = front.show() if request.user.has_perm("userdb.view_alert") else {}
        return super().index(request, {**shown, **(extra_context or {})})
