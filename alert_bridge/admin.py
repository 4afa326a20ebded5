"""The pages of channels: whom to tell. Each kind asks for its own settings; the audit names changed secrets, never values."""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import DateTimeField, Model, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from alert_bridge import message
from alert_bridge.channels import KINDS
from alert_bridge.channels.base import DeliveryError
from alert_bridge.delivery import deliver
from alert_bridge.forms import FIELDS, PREFIX, ChannelForm, form_of
from userdb import audit
from userdb.admin.pages import AuditedAdmin, ago
from userdb.models import Channel, Notification

_NAME, _WHICH, _WHEN = FIELDS[:3], FIELDS[3:7], FIELDS[7:]
_TEST_PERMISSION = "userdb.send_test_channel"


def _newest(field: str, **which: Any) -> Subquery:
    rows = Notification.objects.filter(channel=OuterRef("pk"), **which).order_by("-pk")
    return Subquery(rows.values(field)[:1], output_field=DateTimeField())


@admin.register(Channel)
class ChannelAdmin(AuditedAdmin):
    list_display = ("name", "kind", "enabled", "matchers", "status")
    list_filter = ("enabled", "kind")
    search_fields = ("name",)
    empty_text = "No channels: nobody will be told. Add one."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        rows: QuerySet[Channel] = super().get_queryset(request)
        return rows.annotate(last_delivered=_newest("delivered_at", state="delivered"))

    @admin.display(description="last word")
    def status(self, channel: Any) -> str:
        if not channel.enabled:
            return "Off: nobody is told through it"
        return f"Delivered, {ago(channel.last_delivered)}" if channel.last_delivered else "Nothing delivered yet"

    def _kind(self, request: HttpRequest, obj: Model | None) -> str | None:
        kind = obj.kind if isinstance(obj, Channel) else request.GET.get("kind")
        return kind if kind in KINDS else None

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Any]]:
        kind = self._kind(request, obj)
        if kind is None:
            return super().get_form(request, obj, change, **kwargs)
        kwargs["form"], kwargs["fields"] = form_of(kind), FIELDS
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        kind = self._kind(request, obj)
        if kind is None:
            return [(None, {"fields": FIELDS})]
        own = [n for n in form_of(kind).base_fields if n.startswith((PREFIX, "forget_"))]
        title = KINDS[kind].title
        return [
            (None, {"fields": _NAME}),
            (title, {"fields": own}),
            ("Which alerts", {"fields": _WHICH}),
            ("When", {"fields": _WHEN}),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if self._kind(request, None) is None and self.has_add_permission(request):
            context = {**self.admin_site.each_context(request), "title": "Add channel", "opts": self.opts}
            template = "admin/userdb/channel/kinds.html"
            return TemplateResponse(request, template, {**context, "kinds": KINDS.values()})
        return super().add_view(request, form_url, extra_context)

    def get_urls(self) -> list[URLPattern]:
        test = self.admin_site.admin_view(require_POST(self.send_test))
        return [path("<int:pk>/test/", test, name="userdb_channel_test"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {"may_test": request.user.has_perm(_TEST_PERMISSION), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def send_test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a test now and show the destination's answer; 403 without the permission. Outside any transaction."""
        if not request.user.has_perm(_TEST_PERMISSION):
            raise PermissionDenied
        channel = get_object_or_404(Channel, pk=pk)
        by = request.user.get_username()
        try:
            receipt = deliver(channel, lambda: message.of_test(channel, by))
        except DeliveryError as error:
            outcome = {"outcome": "failed", "reason": error.reason, "status": error.status, "answer": error.answer}
            text = f"The test was not delivered ({error.reason}): {error.status} {error.answer}"
        else:
            outcome = {"outcome": "delivered", "status": receipt.status, "answer": receipt.answer}
            text = f"The test was delivered. The destination's answer: {receipt.status} {receipt.answer}"
        audit.record(by, "send_test", channel, new=outcome)
        self.message_user(request, text, messages.SUCCESS if outcome["outcome"] == "delivered" else messages.ERROR)
        return redirect("admin:userdb_channel_change", pk)

    def audit_note(self, form: ModelForm[Any]) -> dict[str, Any]:
        changed = form.changed_secrets if isinstance(form, ChannelForm) else []
        return {"changed_secrets": changed} if changed else {}
