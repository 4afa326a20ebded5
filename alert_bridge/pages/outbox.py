"""The outbox: what waits for each channel and why, and dead letters, which people send again.

Sending again is a POST in two steps: the first says how many, the second does it; `resend.py` leaves the audit entries.
"""

from collections import Counter as Tally
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from alert_bridge import resend
from alert_bridge.queries import outbox_state
from userdb.admin.delivery import NotificationAdmin
from userdb.models import Channel, Notification
from userdb.transactions import UserdbAway

SELECTED = 1000
"""Messages that may be selected in the list at once: all of a channel, or all there are, have buttons of their own."""


class NotificationPage(NotificationAdmin):
    actions = ("send_again",)
    change_list_template = "admin/userdb/notification/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("outbox/", view(self.outbox), name="userdb_notification_outbox"),
            path("resend/", view(require_POST(self.resend)), name="userdb_notification_resend"),
            *super().get_urls(),
        ]

    def has_resend_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.has_perm("userdb.resend_notification"))

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
            "may_resend": self.has_resend_permission(request),
        }
        return TemplateResponse(request, "admin/userdb/notification/outbox.html", context)

    @admin.action(description="Send selected dead letters again", permissions=["resend"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Notification]) -> HttpResponse | None:
        """Go on with those that are selected."""
        pks = list(queryset.order_by("pk").values_list("pk", flat=True)[: SELECTED + 1])
        if len(pks) > SELECTED:
            words = f"More than {SELECTED} are selected: the outbox page sends all of a channel, or all there are."
            self.message_user(request, words, messages.ERROR)
            return None
        return self._confirm(request, resend.chosen(pks), {"pk": pks})

    def resend(self, request: HttpRequest) -> HttpResponse:
        """Ask, and when it is confirmed send again what the form names: `pk`s, or those of a channel, a reason, or all."""
        if not self.has_resend_permission(request):
            raise PermissionDenied
        pks = [
            int(pk) for pk in request.POST.getlist("pk")[:SELECTED] if pk.isascii() and pk.isdecimal() and len(pk) < 19
        ]
        number, reason = request.POST.get("channel", ""), request.POST.get("reason", "")
        channel = Channel.objects.filter(pk=int(number)).first() if number.isascii() and number.isdecimal() else None
        if number and channel is None:
            self.message_user(request, "There is no such channel.", messages.ERROR)
            return redirect("admin:userdb_notification_outbox")
        name = channel.name if channel else ""
        rows = resend.chosen(pks) if pks else resend.dead(name, reason)
        form: dict[str, list[Any]] = {
            "pk": pks,
            "channel": [number] if number else [],
            "reason": [reason] if reason else [],
        }
        if "confirmed" not in request.POST:
            return self._confirm(request, rows, form)
        try:
            count = resend.resend(rows, request.user.get_username())
        except UserdbAway as error:
            words = f"Stopped: {error}. What is owed again stays so; the rest can be sent again later."
            self.message_user(request, words, messages.ERROR)
        else:
            level = messages.SUCCESS if count else messages.WARNING
            self.message_user(request, f"{count} message{'' if count == 1 else 's'} owed again.", level)
        return redirect("admin:userdb_notification_outbox")

    def _confirm(self, request: HttpRequest, rows: QuerySet[Notification], form: dict[str, list[Any]]) -> HttpResponse:
        counts = Tally(dict(_by_channel(rows.filter(channel__enabled=True))))
        context = {
            **self.admin_site.each_context(request),
            "title": "Send dead letters again",
            "opts": self.opts,
            "counts": counts.most_common(),
            "total": counts.total(),
            "off": _by_channel(rows.filter(channel__enabled=False)),
            "hidden": [(name, value) for name, values in form.items() for value in values],
        }
        return TemplateResponse(request, "admin/userdb/notification/resend.html", context)


def _by_channel(rows: QuerySet[Notification]) -> list[tuple[str, int]]:
    names = rows.order_by().values_list("channel__name", flat=True)
    return list(Tally(names).items())
