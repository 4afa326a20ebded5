"""The outbox: what waits for each channel and why, and dead letters, which people send again."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from alert_bridge.queries import outbox_state
from userdb.admin.delivery import NotificationAdmin


class NotificationPage(NotificationAdmin):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [path("outbox/", view(self.outbox), name="userdb_notification_outbox"), *super().get_urls()]

    def outbox(self, request: HttpRequest) -> HttpResponse:
        """Show what waits and what is dead, by channel and reason."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Outbox",
            "opts": self.opts,
            "waiting": outbox_state.waiting(),
            "dead": outbox_state.dead(),
        }
        return TemplateResponse(request, "admin/userdb/notification/outbox.html", context)
