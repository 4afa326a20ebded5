"""What happened: events, minutes of requests and of containers."""

from django.contrib import admin

from userdb.admin.pages import HistoryAdmin
from userdb.models import ContainerUsage, MonitorEvent, RequestRollup


@admin.register(MonitorEvent)
class MonitorEventAdmin(HistoryAdmin):
    list_display = ("id", "received_at", "tenant", "event_type", "level", "failure_type", "task", "short_message")
    list_filter = ("event_type", "level", "failure_type", "received_at")
    search_fields = ("=tenant", "=task", "=event_id")
    search_help_text = "A tenant's name, a task or an event id, as a whole."
    empty_text = (
        "No events yet: no failure was reported by a tenant, no container changed its state, no request failed."
    )

    @admin.display(description="message")
    def short_message(self, event: MonitorEvent) -> str:
        return event.message if len(event.message) <= 120 else event.message[:119] + "…"


@admin.register(RequestRollup)
class RequestRollupAdmin(HistoryAdmin):
    list_display = ("minute", "tenant", "outcome", "requests", "seconds", "instance")
    list_filter = ("outcome", "minute")
    search_fields = ("=tenant",)
    ordering = ("-minute",)
    empty_text = "No requests counted yet: the gateway's middleware writes one row a minute, tenant and outcome."


@admin.register(ContainerUsage)
class ContainerUsageAdmin(HistoryAdmin):
    list_display = ("minute", "tenant", "namespace", "pod", "container", "cpu_cores", "memory_bytes")
    list_filter = ("minute",)
    search_fields = ("=tenant", "=pod")
    ordering = ("-minute",)
    empty_text = "No usage yet: the pod exporter writes one row a minute and container where metrics.k8s.io is there."
