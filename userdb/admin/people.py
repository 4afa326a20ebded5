"""What people decide, and the record of it."""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms import ChoiceField, ModelForm, NumberInput
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runtime.closed_sets import EVERYONE, POLICIES
from userdb.admin.pages import AuditedAdmin, HistoryAdmin, listing
from userdb.admin.times import time_filter
from userdb.models import Acknowledgement, AlertPolicy, AuditEntry, MaintenanceWindow, Tenant


def _policies() -> list[tuple[str, str]]:
    """Return our rules' names, and those of a host project's own rules, for which its code has made a row."""
    others = set(AlertPolicy.objects.values_list("policy", flat=True)) - set(POLICIES)
    return [(name, name) for name in (*POLICIES, *sorted(others))]


def _plain(number: float) -> str:
    """Return a threshold as people write it: 300, not 300.0."""
    return f"{number:.15g}"


class _PlainNumber(NumberInput):
    def format_value(self, value: Any) -> str | None:
        return _plain(value) if isinstance(value, float) else super().format_value(value)


class AlertPolicyForm(ModelForm):  # type: ignore[type-arg]
    """A threshold for a name that no rule or tenant bears would change nothing, silently: it is refused."""

    policy = ChoiceField(choices=_policies, help_text="The rule whose threshold it is.")

    class Meta:
        model = AlertPolicy
        fields = ("policy", "tenant", "threshold", "note")
        widgets = {"threshold": _PlainNumber}

    def clean_tenant(self) -> str:
        name = str(self.cleaned_data["tenant"])
        if name != EVERYONE and not Tenant.objects.filter(name=name).exists():
            raise ValidationError(f"There is no tenant {name!r}: write a tenant's name, or {EVERYONE} for all.")
        return name


@admin.register(AlertPolicy)
class AlertPolicyAdmin(AuditedAdmin):
    form = AlertPolicyForm
    list_display = ("policy", "tenant", "limit", "note", "updated_at", "updated_by")
    list_filter = ("policy",)
    search_fields = ("policy", "tenant")
    empty_text = "No thresholds: the rules in Prometheus use their builtin ones."

    @admin.display(description="threshold", ordering="threshold")
    def limit(self, policy: AlertPolicy) -> str:
        return _plain(policy.threshold)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("updated_at", "updated_by") if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        obj.updated_by = request.user.get_username()
        super().save_model(request, obj, form, change)


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    list_display = ("id", "at", "by", "action", "kind", "name")
    list_filter = ("action", "kind", time_filter("at", numbered=False))
    search_fields = ("by__exact", "name")
    search_help_text = "Who, as a whole; or a part of the changed thing's name."
    fields = readonly_fields = ("at", "by", "action", "kind", "object_id", "name", "before", "after")
    empty_text = "Nobody has changed anything yet."

    @admin.display(description="old")
    def before(self, entry: AuditEntry) -> SafeString | str:
        return "none: it was not there" if entry.old is None else listing(entry.old)

    @admin.display(description="new")
    def after(self, entry: AuditEntry) -> SafeString | str:
        return "none: it is gone" if entry.new is None else listing(entry.new)


@admin.register(Acknowledgement)
class AcknowledgementAdmin(HistoryAdmin):
    list_display = ("id", "episode", "by", "at", "note", "withdrawn_at", "withdrawn_by")
    list_select_related = ("alert__identity",)
    export_also = ("alert__identity__alertname", "alert__identity__tenant")
    empty_text = "Nobody has taken an alert on."

    @admin.display(description="alert")
    def episode(self, entry: Acknowledgement) -> SafeString:
        """Return a link to the alert's page."""
        url = reverse("admin:userdb_alert_change", args=[entry.alert_id])
        return format_html('<a href="{}">{}, episode {}</a>', url, entry.alert.identity, entry.alert.number)


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(HistoryAdmin):
    list_display = ("tenant", "starts_at", "ends_at", "reason", "created_by")
    search_fields = ("tenant__exact",)
    search_help_text = "A tenant's name, as a whole."
    empty_text = "No work was announced."
