"""What Alertmanager said and what became of it: the alert's page is the proof of who was told, when, with what answer."""

import json
import zlib
from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runtime.closed_sets import LEVELS
from userdb.admin.delivery import said
from userdb.admin.identities import with_severity
from userdb.admin.pages import ClosedFilter, HistoryAdmin, HistoryInline, ago, block, closed_filter, listing
from userdb.admin.times import time_filter
from userdb.models import Alert, AlertIdentity, AlertTransition, Notification, WebhookEvent
from userdb.unsent import unsent_alerts


def webhook_link(number: int | None) -> SafeString | str:
    """Return a link to a webhook's page, made of its number alone: the row holds a body of up to 32 MB."""
    if number is None:
        return "none"
    return format_html('<a href="{}">#{}</a>', reverse("admin:userdb_webhookevent_change", args=[number]), number)


class TransitionInline(HistoryInline):
    model = AlertTransition
    fields = readonly_fields = ("at", "kind", "version", "starts_at", "ends_at", "brought_by")
    ordering = ("id",)

    @admin.display(description="webhook")
    def brought_by(self, transition: AlertTransition) -> SafeString | str:
        return webhook_link(transition.webhook_id)


class NotificationInline(HistoryInline):
    model = Notification
    fields = readonly_fields = ("kind", "channel", "status", "attempts", "created_at", "delivered_at")
    ordering = ("id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        rows: QuerySet[Notification] = super().get_queryset(request)
        return rows.select_related("channel")

    @admin.display(description="status")
    def status(self, notification: Notification) -> str:
        return said(notification)


class SeverityFilter(ClosedFilter):
    title, parameter_name, words = "severity", "identity__severity", LEVELS

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return with_severity(request, queryset, "identity", str(self.value())) if self.value() else queryset


class ListedFilter(ClosedFilter):
    """Firing alerts by what the Alertmanagers say of them beside their webhooks."""

    title, parameter_name, words = "Alertmanager's word", "listed", ("never sent", "silenced", "inhibited")

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "never sent":
            return queryset.filter(pk__in=unsent_alerts().values("pk"))
        if self.value() in self.words:
            return queryset.filter(state=Alert.State.FIRING, identity__suppression=self.value())
        return queryset


@admin.register(Alert)
class AlertAdmin(HistoryAdmin):
    list_display = ("name", "tenant", "severity", "status", "starts_at", "ends_at", "closer")
    list_filter = ("state", "closed_by", ListedFilter, SeverityFilter, time_filter("created_at"))
    list_select_related = ("identity",)
    search_fields = ("identity__alertname__exact", "identity__tenant__exact", "identity__fingerprint__exact")
    search_help_text = "An alert's name, a tenant, both, or a fingerprint; each as a whole."
    by_identity = "identity"
    export_also = ("identity__alertname", "identity__tenant", "identity__severity")
    sortable_by = ()
    inlines = [TransitionInline, NotificationInline]
    fields = (
        "status", "summary", "labels", "all_annotations", "starts_at", "ends_at", "closed_by", "number", "fingerprint",
        "source", "brought_by",
    )  # fmt: skip
    readonly_fields = fields
    empty_text = "No alerts yet: Alertmanager has sent none. Prometheus' page /alerts shows what its rules see."

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        alert = kwargs["obj"]
        tenant = f" ({alert.identity.tenant})" if alert.identity.tenant else ""
        context["subtitle"] = f"{alert.identity}{tenant}, episode {alert.number}"
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="alert", ordering="identity__alertname")
    def name(self, alert: Alert) -> str:
        return str(alert.identity)

    @admin.display(ordering="identity__tenant")
    def tenant(self, alert: Alert) -> str:
        return alert.identity.tenant or "none"

    @admin.display(ordering="identity__severity")
    def severity(self, alert: Alert) -> str:
        return alert.identity.severity or "none"

    @admin.display(description="state")
    def status(self, alert: Alert) -> str:
        if alert.state == Alert.State.FIRING:
            return f"Firing for {ago(alert.starts_at).removesuffix(' ago')}"
        return f"Resolved {ago(alert.ends_at)}" if alert.ends_at else "Resolved, end not known"

    @admin.display(description="closed by")
    def closer(self, alert: Alert) -> str | None:
        return str(alert.get_closed_by_display()) if alert.closed_by else None

    @admin.display
    def summary(self, alert: Alert) -> str:
        return str(alert.annotations.get("summary", "none"))

    @admin.display
    def labels(self, alert: Alert) -> SafeString:
        return listing(alert.identity.labels)

    @admin.display(description="annotations")
    def all_annotations(self, alert: Alert) -> SafeString:
        return listing(alert.annotations)

    @admin.display
    def fingerprint(self, alert: Alert) -> str:
        return str(alert.identity_id)

    @admin.display(description="first webhook")
    def brought_by(self, alert: Alert) -> SafeString | str:
        return webhook_link(alert.first_webhook_id)

    @admin.display(description="seen in Prometheus")
    def source(self, alert: Alert) -> SafeString | str:
        if not alert.generator_url.startswith(("http://", "https://")):
            return alert.generator_url or "none"
        return format_html('<a href="{0}" rel="noreferrer">{0}</a>', alert.generator_url)


_STARTS = {
    "last_start": "The latest start ever heard of the last episode.",
    "previous_start": "That of the episode before it.",
}
"""What a reader of the page wants to know of the two; the model's own words are those of the design."""


@admin.register(AlertIdentity)
class AlertIdentityAdmin(HistoryAdmin):
    list_display = ("alertname", "tenant", "severity", "state", "episodes", "updated_at", "last_told_at", "fingerprint")
    list_filter = ("state", closed_filter("severity", LEVELS))
    search_fields = ("fingerprint__exact", "alertname__exact", "tenant__exact")
    search_help_text = "An alert's name, a tenant or a fingerprint, as a whole."
    ordering = ("-updated_at",)
    sortable_by = ()
    empty_text = "No alert was ever heard of."
    fields = readonly_fields = (
        "alertname", "tenant", "severity", "all_labels", "fingerprint", "origin", "state", "suppression", "suppressed_by",
        "its_episodes", "last_start", "previous_start", "last_end", "last_told_at", "heard_at", "version", "created_at",
        "updated_at",
    )  # fmt: skip

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **{"help_texts": _STARTS, **kwargs})

    @admin.display(description="labels")
    def all_labels(self, identity: AlertIdentity) -> SafeString:
        return listing(identity.labels)

    @admin.display(description="episodes")
    def its_episodes(self, identity: AlertIdentity) -> SafeString:
        """Return their number as a link to them."""
        url = reverse("admin:userdb_alert_changelist")
        return format_html('<a href="{}?q={}">{}</a>', url, identity.fingerprint, identity.episodes)


@admin.register(AlertTransition)
class AlertTransitionAdmin(HistoryAdmin):
    list_display = ("id", "at", "identity", "kind", "version", "starts_at", "ends_at", "brought_by")
    list_filter = ("kind", time_filter("at"))
    fields = readonly_fields = ("identity", "alert", "version", "kind", "brought_by", "starts_at", "ends_at", "at")
    list_select_related = ("identity",)
    search_fields = ("identity__fingerprint__exact", "identity__alertname__exact", "identity__tenant__exact")
    search_help_text = "An alert's name, a tenant or a fingerprint, as a whole."
    empty_text = "No alert has changed its state yet."

    @admin.display(description="webhook")
    def brought_by(self, transition: AlertTransition) -> SafeString | str:
        return webhook_link(transition.webhook_id)


@admin.register(WebhookEvent)
class WebhookEventAdmin(HistoryAdmin):
    list_display = [
        "id",
        "received_at",
        "result",
        "receiver",
        "alerts",
        "changes",
        "odd_entries",
        "body_bytes",
        "sender",
    ]
    list_filter = ("result", time_filter("received_at"))
    sortable_by = ()
    readonly_fields = [
        "received_at", "sender", "result", "error", "receiver", "group_key", "alerts",
        "changes", "odd", "body_bytes", "as_sent",
    ]  # fmt: skip
    fields = tuple(readonly_fields)
    empty_text = "Alertmanager has sent nothing yet: its receiver is /webhooks/alertmanager, with WEBHOOK_TOKEN."

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEvent]:
        rows: QuerySet[WebhookEvent] = super().get_queryset(request)
        named = request.resolver_match and request.resolver_match.url_name
        # a list of bodies of megabytes would be read for nothing
        return rows.defer("body", "group_key") if named == "userdb_webhookevent_changelist" else rows

    @admin.display(description="odd entries")
    def odd_entries(self, webhook: WebhookEvent) -> Any:
        return len(webhook.odd)

    @admin.display(description="body")
    def as_sent(self, webhook: WebhookEvent) -> SafeString:
        text = zlib.decompress(webhook.body).decode("utf-8", "replace")
        with suppress(ValueError):  # no JSON: shown as it came
            text = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
        if len(text) > 100_000:
            text = text[:100_000] + f"\n… {len(text) - 100_000} characters more"
        return block(text)
