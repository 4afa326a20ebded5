"""The inbox: every webhook as it came, what became of it in words, and the button that applies stored ones again.

A replay is rehearsed first (nothing is written), and done by POST when the reader has seen what it would change.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alert_bridge import replay
from alert_bridge.queries import inbox
from userdb import audit
from userdb.admin.alerts import WebhookEventAdmin, webhook_link
from userdb.models import AlertTransition, Channel, WebhookEvent
from userdb.transactions import UserdbAway

AT_ONCE = 500
"""Webhooks that the page applies: more are the command's, which says how far it is."""
_NAMED, _ODD = 50, 100


class InboxPage(WebhookEventAdmin):
    list_display = ["id", "received_at", "outcome", "receiver", "alerts", "body_bytes", "sender", "replayed_at"]
    readonly_fields = [
        "received_at", "sender", "outcome", "error", "receiver", "group_key", "alerts", "brought", "odd_entries",
        "body_bytes", "replayed_at", "as_sent",
    ]  # fmt: skip
    fields = tuple(readonly_fields)
    actions = ("replay",)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist: Any = super().get_changelist_instance(request)
        shown = changelist.result_list = list(changelist.result_list)
        repeated = inbox.repeats(shown)
        for row in shown:
            row.repeats = repeated.get(row.pk)
        return changelist

    @admin.display(description="result")
    def outcome(self, row: Any) -> SafeString | str:
        if row.result == WebhookEvent.Result.UNREADABLE:
            return format_html(
                '<span class="tone-bad">Nothing applied: {}</span>', row.error[:200] or "it is no webhook"
            )
        repeats = row.repeats if hasattr(row, "repeats") else inbox.repeats([row]).get(row.pk)
        words: SafeString | str = f"{row.changes} change{'' if row.changes == 1 else 's'}"
        if row.result == WebhookEvent.Result.UNCHANGED:
            words = "0 changes: repeat of one before it"
            if repeats:
                words = format_html("0 changes: repeat of {}", webhook_link(repeats))
        odd = len(row.odd) if isinstance(row.odd, list) else 0
        if not odd:
            return words
        return format_html('{}, <span class="tone-warn">{} odd entr{}</span>', words, odd, "y" if odd == 1 else "ies")

    @admin.display(description="odd entries")
    def odd_entries(self, row: WebhookEvent) -> SafeString | str:
        entries = row.odd if isinstance(row.odd, list) else []
        if not entries:
            return "none"
        lines = [(e.get("index", "?"), e.get("reason", "")) for e in entries[:_ODD] if isinstance(e, dict)]
        shown = format_html_join("", "<li>{}</li>", [(_placed(n, reason),) for n, reason in lines])
        rest = f"… and {len(entries) - _ODD} more" if len(entries) > _ODD else ""
        return format_html("<ul>{}</ul>{}", shown, rest)

    @admin.display(description="changes that it brought")
    def brought(self, row: WebhookEvent) -> SafeString | str:
        changes = AlertTransition.objects.filter(webhook=row.pk).select_related("identity").order_by("pk")[: _NAMED + 1]
        lines = [
            (
                reverse("admin:userdb_alert_change", args=[change.alert_id]),
                change.identity,
                change.identity.tenant,
                change.kind,
            )
            for change in changes
        ]
        if not lines:
            return "none"
        shown = format_html_join("", '<li><a href="{}">{}</a> {}: {}</li>', lines[:_NAMED])
        return format_html("<ul>{}</ul>{}", shown, "… and more" if len(lines) > _NAMED else "")

    def has_replay_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.has_perm("userdb.replay_webhookevent"))

    @admin.action(description="Apply selected webhooks again", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> HttpResponse | None:
        """Show what it would change; with the form's confirmation do it, and leave an audit entry."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: AT_ONCE + 1])
        if len(ids) > AT_ONCE:
            self.message_user(
                request, f"More than {AT_ONCE}: use alert-bridge replay, which says how far it is.", messages.ERROR
            )
            return None
        everything = request.POST.get("everything") == "on"
        rows = WebhookEvent.objects.filter(pk__in=ids)
        try:
            found = Sums.of(replay.run(rows, everything, dry_run="confirmed" not in request.POST))
        except UserdbAway as error:
            self.message_user(
                request, f"Stopped: {error}. What was applied stays; the rest can be run again.", messages.ERROR
            )
            return None
        if "confirmed" in request.POST:
            self._done(request, ids, everything, found)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Apply webhooks again",
            "opts": self.opts,
            "ids": ids,
            "found": found,
            "everything": everything,
            "channels": dict(Channel.objects.values_list("pk", "name")),
        }
        return TemplateResponse(request, "admin/userdb/webhookevent/replay.html", context)

    def _done(self, request: HttpRequest, ids: list[int], everything: bool, found: "Sums") -> None:
        owed = found.owed.total()
        new = {"webhooks": ids, "everything": everything, "changes": found.changes, "owed": owed}
        audit.record_of_many(request.user.get_username(), "replay", WebhookEvent, f"{len(ids)} webhooks", new)
        words = f"{found.webhooks} webhooks were applied again: {found.changes} changes, {owed} messages owed."
        self.message_user(request, words, messages.SUCCESS)


def _placed(index: Any, reason: Any) -> str:
    """Return a reason with its place in the body, which most reasons name themselves."""
    place = f"alerts[{index}]"
    return str(reason) if str(reason).startswith(place) else f"{place}: {reason}"


@dataclass
class Sums:
    """What a replay came to, or would come to."""

    webhooks: int = 0
    changes: int = 0
    older: int = 0
    brought: list[tuple[int, str, str, str]] = field(default_factory=list)
    """The first changes: webhook, fingerprint, name, kind."""
    owed: Counter[int] = field(default_factory=Counter)
    """Messages by channel."""
    troubles: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: Iterable[replay.Outcome]) -> "Sums":
        sums = cls()
        for outcome in outcomes:
            sums.webhooks += 1
            sums.changes += len(outcome.changes)
            sums.older += outcome.older
            room = _NAMED - len(sums.brought)
            sums.brought += [(outcome.id, c.fingerprint, c.alertname, c.kind) for c in outcome.changes[:room]]
            sums.owed.update(told.channel for told in outcome.owed)
            words = [outcome.error] if outcome.error else outcome.odd
            sums.troubles += [(outcome.id, word) for word in words[: max(0, _NAMED - len(sums.troubles))]]
        return sums

    def by_channel(self) -> list[tuple[int, int]]:
        """Return (channel, messages), most first."""
        return self.owed.most_common()
