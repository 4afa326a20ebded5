"""Tenants and their reporters' tokens."""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from userdb import audit, tokens
from userdb.admin.pages import AuditedAdmin, HistoryInline
from userdb.models import ReporterToken, Tenant
from userdb.router import alias


class TokenInline(HistoryInline):
    model = ReporterToken
    fields = readonly_fields = ("hint", "note", "created_at", "created_by", "expires_at", "revoked_at", "last_used_at")


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin):
    list_display = ("name", "title", "enabled", "created_at")
    list_filter = ("enabled",)
    search_fields = ("name", "title")
    inlines = (TokenInline,)
    empty_text = "No tenants: reports are refused until one is added, here or with: route-management token create NAME."

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        # the name stands in rows, labels and routes: another name is another tenant
        return ("name", "created_at") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("name", "title", "enabled", "created_at") if obj else ("name", "title", "enabled")


@admin.register(ReporterToken)
class ReporterTokenAdmin(AuditedAdmin):
    list_display = ("hint", "tenant", "note", "created_at", "created_by", "expires_at", "revoked_at", "last_used_at")
    list_filter = ("tenant",)
    list_select_related = ("tenant",)
    search_fields = ("tenant__name", "hint__exact", "note")
    search_help_text = "A part of a tenant's name or of a note, or a token's first characters as shown."
    actions = ("revoke",)
    fields = ("tenant", "note", "expires_at")
    empty_text = "No tokens: no tenant can report. Add one; the token is shown once."

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        shown = ("hint", "created_at", "created_by", "revoked_at", "last_used_at")
        return ("tenant", *shown) if obj else ()

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (*self.fields, "hint", "created_at", "created_by", "revoked_at", "last_used_at") if obj else self.fields

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # revoked, never deleted: the row says who could report until when

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        by = request.user.get_username()
        token, row = tokens.create(obj.tenant, by, obj.note, obj.expires_at)
        obj.pk = row.pk
        obj.refresh_from_db()
        request.new_reporter_token = token  # type: ignore[attr-defined]
        audit.record(by, "add", obj, new=self.audit_picture(obj))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        # rendered at once: a message after a redirect would put the token into a cookie
        context = {
            **self.admin_site.each_context(request),
            "title": f"Token of {obj.tenant}",
            "token": request.new_reporter_token,  # type: ignore[attr-defined]
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/userdb/reportertoken/made.html", context)

    @admin.action(description="Revoke selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ReporterToken]) -> HttpResponse | None:
        in_force = queryset.filter(revoked_at=None)
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": "Revoke tokens",
                "rows": in_force,
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/userdb/reportertoken/revoke.html", context)
        with transaction.atomic(using=alias()):  # Django wraps its pages in one, but no action
            rows = list(in_force)
            for row in rows:
                before = self.audit_picture(row)
                row.revoked_at = timezone.now()
                row.save(update_fields=["revoked_at"])
                audit.record(request.user.get_username(), "revoke", row, before, self.audit_picture(row))
        self.message_user(request, f"{len(rows)} tokens revoked; they are refused from now on.", messages.SUCCESS)
        return None
