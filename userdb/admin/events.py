"""What happened: events, minutes of requests and of containers."""

import json
import re
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from runtime.closed_sets import EVENT_TYPES, FAILURE_TYPES, LEVELS, REQUEST_FAILURES, UNKNOWN
from userdb.admin.pages import ClosedFilter, HistoryAdmin, block, closed_filter
from userdb.admin.times import time_filter
from userdb.models import ContainerUsage, MonitorEvent, RequestRollup, Tenant

_LOOKED_AT = 100_000
"""Events, the newest, among which a filter or a task's name is looked for: an index for each would cost every report."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _newest(rows: Any) -> Any:
    last = MonitorEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    return rows.filter(pk__gt=last - _LOOKED_AT)


class _NewestFilter(ClosedFilter):
    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        rows = super().queryset(request, queryset)
        bounded = self.value() is None or request.GET.get("q") or request.GET.get("received_at")
        return rows if bounded else _newest(rows)


def _newest_filter(column: str, words: tuple[str, ...]) -> type[ClosedFilter]:
    return type("Filter", (_NewestFilter, closed_filter(column, words)), {})


@admin.register(MonitorEvent)
class MonitorEventAdmin(HistoryAdmin):
    list_display = ("received_at", "tenant", "level", "failure_type", "task", "short_message", "event_type", "id")
    fields = (
        "tenant", "event_type", "level", "failure_type", "task", "whole_message", "all_detail", "source", "occurred_at",
        "received_at", "created_at", "event_id",
    )  # fmt: skip
    readonly_fields = fields
    list_filter = (
        _newest_filter("event_type", EVENT_TYPES),
        _newest_filter("level", LEVELS),
        _newest_filter("failure_type", FAILURE_TYPES),
        time_filter("received_at"),
    )
    sortable_by = ()
    search_fields = ("tenant__exact", "task__exact", "event_id__exact")
    search_help_text = "A tenant's name, a task or an event id, as a whole."

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Look along an index: by the id within each tenant, by the tenant; a task among the newest events."""
        word = search_term.strip().strip("\"'")
        if not word:
            return queryset, False
        if _UUID.fullmatch(word):
            tenants = [*Tenant.objects.values_list("name", flat=True), UNKNOWN]
            rows = queryset.filter(tenant__in=tenants, event_id=word.lower())
            # a tenant that is there no more, or never was: its events have no index by the id alone
            return rows if rows.exists() else _newest(queryset.filter(event_id=word.lower())), False
        if MonitorEvent.objects.filter(tenant=word).exists():
            return queryset.filter(tenant=word), False
        return _newest(queryset.filter(task=word)), False

    empty_text = (
        "No events yet: no failure was reported by a tenant, no container changed its state, no request failed."
    )

    @admin.display(description="message")
    def short_message(self, event: MonitorEvent) -> str:
        return event.message if len(event.message) <= 120 else event.message[:119] + "…"

    @admin.display(description="message")
    def whole_message(self, event: MonitorEvent) -> SafeString:
        return block(event.message)

    @admin.display(description="detail")
    def all_detail(self, event: MonitorEvent) -> SafeString:
        return block("" if event.detail is None else json.dumps(event.detail, indent=1, ensure_ascii=False))


@admin.register(RequestRollup)
class RequestRollupAdmin(HistoryAdmin):
    list_display = ("minute", "tenant", "outcome", "requests", "seconds", "instance")
    list_filter = (closed_filter("outcome", ("success", *REQUEST_FAILURES)), time_filter("minute", numbered=False))
    search_fields = ("tenant__exact",)
    search_help_text = "A tenant's name, as a whole."
    ordering = ("-minute",)
    sortable_by = ()
    empty_text = "No requests counted yet: the gateway's middleware writes one row a minute, tenant and outcome."


@admin.register(ContainerUsage)
class ContainerUsageAdmin(HistoryAdmin):
    list_display = ("minute", "tenant", "namespace", "pod", "container", "cpu_cores", "memory_bytes")
    list_filter = (time_filter("minute", numbered=False),)
    search_fields = ("tenant__exact", "pod__exact")
    search_help_text = "A tenant's name or a pod's, as a whole."
    ordering = ("-minute",)
    sortable_by = ()
    empty_text = "No usage yet: the pod exporter writes one row a minute and container where metrics.k8s.io is there."
