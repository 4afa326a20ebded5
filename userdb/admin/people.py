"""What people decide, and the record of it."""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from userdb.admin.pages import AuditedAdmin, HistoryAdmin
from userdb.models import Acknowledgement, AlertPolicy, AuditEntry, MaintenanceWindow


@admin.register(AlertPolicy)
class AlertPolicyAdmin(AuditedAdmin):
    list_display = ("policy", "tenant", "threshold", "note", "updated_at", "updated_by")
    list_filter = ("policy",)
    search_fields = ("policy", "tenant")
    readonly_fields = ("updated_at", "updated_by")
    empty_text = "No thresholds: the rules in Prometheus use their builtin ones."

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        obj.updated_by = request.user.get_username()
        super().save_model(request, obj, form, change)


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    list_display = ("id", "at", "by", "action", "kind", "name")
    list_filter = ("action", "kind", "at")
    search_fields = ("=by", "name")
    empty_text = "Nobody has changed anything yet."


@admin.register(Acknowledgement)
class AcknowledgementAdmin(HistoryAdmin):
    list_display = ("id", "alert", "by", "at", "note")
    list_select_related = ("alert",)
    empty_text = "Nobody has taken an alert on."


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(HistoryAdmin):
    list_display = ("tenant", "starts_at", "ends_at", "reason", "created_by")
    list_filter = ("tenant",)
    empty_text = "No work was announced."
