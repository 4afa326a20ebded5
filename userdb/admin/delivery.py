"""What is owed to whom, and every try to send it."""

from django.contrib import admin

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
        "status", "kind", "channel", "identity", "alert", "ordinal", "cause_at", "created_at", "due_at", "attempts",
        "delivered_at", "key",
    )  # fmt: skip
    readonly_fields = fields
    inlines = (AttemptInline,)
    empty_text = "Nobody was told anything yet: no alert came that an enabled channel wants."

    @admin.display(description="status")
    def status(self, notification: Notification) -> str:
        return said(notification)


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(HistoryAdmin):
    list_display = (
        "id",
        "started_at",
        "notification",
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
    list_select_related = ("notification",)
    empty_text = "Nothing was sent yet."
