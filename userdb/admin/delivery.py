"""What is owed to whom, and every try to send it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from userdb.admin.pages import HistoryAdmin, HistoryInline, ago
from userdb.admin.times import time_filter
from userdb.models import DeliveryAttempt, Notification

_STATES = {
    "unconfirmed": "Waits for an Alertmanager's word",
    "owed": "Waits to be sent",
    "sending": "Being sent",
    "late": "Came too late, not sent",
    "in_digest": "Told in a digest",
}


def said(notification: Notification) -> str:
    """Return a notification's state in words and time: `Delivered, 3 minutes ago`."""
    if notification.state == Notification.State.DELIVERED:
        return f"Delivered, {ago(notification.delivered_at)}"
    if notification.state == Notification.State.OWED and notification.attempts:
        return f"Waits after {notification.attempts} failed tries ({notification.reason})"
    if notification.state in (Notification.State.DEAD, Notification.State.VOID):
        what = "Dead" if notification.state == Notification.State.DEAD else "Void"
        return f"{what}: {notification.reason or 'no reason kept'}"
    return _STATES[notification.state]


def about(notification: Notification) -> str:
    """Return what a notification says to whom: `Firing of SimulationFailing to ops`. A digest is of no single alert."""
    of = f" of {notification.identity}" if notification.identity else ""
    return f"{notification.get_kind_display()}{of} to {notification.channel}"


class AttemptInline(HistoryInline):
    model = DeliveryAttempt
    fields = readonly_fields = (
        "number", "started_at", "milliseconds", "outcome", "reason", "status", "answer", "after_lease", "relay",
    )  # fmt: skip
    ordering = ("number",)


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    list_display = ("id", "kind", "identity", "channel", "status", "attempts", "created_at")
    list_filter = ("state", "kind", "channel", time_filter("created_at"))
    list_select_related = ("channel", "identity")
    search_fields = ("identity__alertname__exact", "identity__tenant__exact", "identity__fingerprint__exact")
    search_help_text = "An alert's name, a tenant, both, or a fingerprint; each as a whole."
    by_identity = "identity"
    export_also = ("identity__alertname", "identity__tenant", "identity__severity", "channel__name")
    sortable_by = ()
    fields = (
        "status", "kind", "channel", "episode", "ordinal", "cause_at", "created_at", "due_at", "attempts",
        "delivered_at", "key",
    )  # fmt: skip
    readonly_fields = fields
    inlines = (AttemptInline,)
    empty_text = "Nobody was told anything yet: no alert came that an enabled channel wants."

    def get_inlines(self, request: HttpRequest, obj: Notification | None) -> Any:
        """Return the table of tries where there was one: an empty one would say nothing."""
        tried = obj is not None and (obj.attempts or obj.state == Notification.State.SENDING)
        return self.inlines if tried else ()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        context["subtitle"] = about(kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="status")
    def status(self, notification: Notification) -> str:
        return said(notification)

    @admin.display(description="alert")
    def episode(self, notification: Notification) -> SafeString | str:
        """Return a link to the alert's page; a digest is of no single alert."""
        alert = notification.alert
        if alert is None:
            return "none: a digest"
        url = reverse("admin:userdb_alert_change", args=[alert.pk])
        return format_html('<a href="{}">{}, episode {}</a>', url, notification.identity, alert.number)


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(HistoryAdmin):
    list_display = (
        "id",
        "started_at",
        "message",
        "number",
        "outcome",
        "reason",
        "status",
        "milliseconds",
        "relay",
    )
    list_filter = ("outcome", "after_lease", time_filter("started_at"))
    sortable_by = ()
    export_also = ("notification__channel__name",)
    list_select_related = ("notification__channel", "notification__identity")
    empty_text = "Nothing was sent yet."

    @admin.display(description="message")
    def message(self, attempt: DeliveryAttempt) -> SafeString:
        """Return what was sent to whom, as a link to the message."""
        url = reverse("admin:userdb_notification_change", args=[attempt.notification_id])
        return format_html('<a href="{}">{}</a>', url, about(attempt.notification))
