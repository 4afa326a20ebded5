"""The pages of channels: whom to tell. Each kind asks for its own settings; the audit names changed secrets, never values."""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib import admin
from django.db.models import DateTimeField, Model, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from alert_bridge.channels import KINDS
from alert_bridge.forms import PREFIX, ChannelForm, form_of
from userdb.admin.pages import AuditedAdmin, ago
from userdb.models import Channel, Notification

_COMMON = ("name", "enabled", "matchers", "send_resolved", "resolved_without_firing", "repeat_after")


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
        kwargs["form"], kwargs["fields"] = form_of(kind), _COMMON
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        kind = self._kind(request, obj)
        if kind is None:
            return [(None, {"fields": _COMMON})]
        own = [n for n in form_of(kind).base_fields if n.startswith((PREFIX, "forget_"))]
        title = KINDS[kind].title
        return [(None, {"fields": _COMMON[:2]}), (title, {"fields": own}), ("Which alerts", {"fields": _COMMON[2:]})]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if self._kind(request, None) is None and self.has_add_permission(request):
            context = {**self.admin_site.each_context(request), "title": "Add channel", "opts": self.opts}
            template = "admin/userdb/channel/kinds.html"
            return TemplateResponse(request, template, {**context, "kinds": KINDS.values()})
        return super().add_view(request, form_url, extra_context)

    def audit_note(self, form: ModelForm[Any]) -> dict[str, Any]:
        changed = form.changed_secrets if isinstance(form, ChannelForm) else []
        return {"changed_secrets": changed} if changed else {}
