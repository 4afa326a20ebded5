"""The page of channels: whom to tell, and the last word of each. Each kind asks for its own settings; the audit names
changed secrets, never values.
"""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from alert_bridge import message
from alert_bridge.channels import KINDS
from alert_bridge.channels.base import DeliveryError
from alert_bridge.delivery import deliver
from alert_bridge.forms import FIELDS, PREFIX, ChannelForm, form_of
from alert_bridge.queries import channels
from userdb import audit
from userdb.admin.pages import AuditedAdmin, ago, when
from userdb.models import Channel, Notification

_NAME, _WHICH, _WHEN = FIELDS[:3], FIELDS[3:7], FIELDS[7:]
_TEST_PERMISSION = "userdb.send_test_channel"


class ChannelPage(AuditedAdmin):
    list_display = ("name", "kind", "enabled", "matchers", "status", "waiting", "dead")
    list_filter = ("enabled", "kind")
    search_fields = ("name",)
    empty_text = "No channels: nobody will be told. Add one."
    change_list_template = "admin/userdb/channel/change_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        return channels.with_last_delivery(super().get_queryset(request))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist: Any = super().get_changelist_instance(request)
        shown = changelist.result_list = list(changelist.result_list)
        troubles, counts = channels.troubles(shown), channels.counts()
        for channel in shown:
            channel.trouble = troubles.get(channel.pk)
            channel.counts = counts.get(channel.pk, channels.Counts())
        changelist.nobody_is_told = not Channel.objects.filter(enabled=True).exists()
        return changelist

    @admin.display(description="last word")
    def status(self, channel: Any) -> SafeString | str:
        delivered = f"Delivered, {ago(channel.last_delivered)}" if channel.last_delivered else "Nothing delivered yet"
        if not channel.enabled:
            return "Off: nobody is told through it"
        trouble = channel.trouble
        if trouble is None:
            return delivered
        words = f"Failing since {when(trouble.since)}: {trouble.said[:200]}"
        return format_html('<span class="tone-bad">{}</span><br>{}', words, delivered)

    @admin.display(description="waiting")
    def waiting(self, channel: Any) -> str:
        held = channel.counts
        return f"{held.waiting}, the oldest {ago(held.oldest)}" if held.waiting else "0"

    @admin.display(description="dead")
    def dead(self, channel: Any) -> SafeString | str:
        if not channel.counts.dead:
            return "0"
        url = reverse("admin:userdb_notification_changelist")
        return format_html(
            '<a class="tone-bad" href="{}?state__exact=dead&amp;channel__id__exact={}">{}</a>',
            url,
            channel.pk,
            channel.counts.dead,
        )

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

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False for a channel that is a part of the record: it is switched off instead."""
        used = obj is not None and Notification.objects.filter(channel=obj.pk).exists()
        return super().has_delete_permission(request, obj) and not used

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Leave Django's deletion of selected rows out: it would read every message that they sent."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

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
            text = f"The test was not delivered: {channels.said(error.reason, error.status, error.answer)}"
        else:
            outcome = {"outcome": "delivered", "status": receipt.status, "answer": receipt.answer}
            text = f"The test was delivered. The destination's answer: {receipt.status} {receipt.answer}"
        audit.record(by, "send_test", channel, new=outcome)
        self.message_user(request, text, messages.SUCCESS if outcome["outcome"] == "delivered" else messages.ERROR)
        return redirect("admin:userdb_channel_change", pk)

    def audit_note(self, form: ModelForm[Any]) -> dict[str, Any]:
        changed = form.changed_secrets if isinstance(form, ChannelForm) else []
        return {"changed_secrets": changed} if changed else {}
