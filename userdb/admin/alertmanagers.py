"""The Alertmanagers that reconciliation asks: which answers, since when it runs, and what it says when it does not."""

from django.contrib import admin

from userdb.admin.pages import HistoryAdmin, ago
from userdb.models import AlertmanagerPeer


@admin.register(AlertmanagerPeer)
class AlertmanagerPeerAdmin(HistoryAdmin):
    list_display = ("url", "status", "firing", "started_at", "asked_at", "answered_at")
    search_fields = ("url__exact",)
    search_help_text = "An Alertmanager's URL, as a whole."
    empty_text = "No Alertmanager was asked yet: `alert-bridge reconcile` asks those of ALERTMANAGER_URL."

    @admin.display(description="last word")
    def status(self, peer: AlertmanagerPeer) -> str:
        if peer.error:
            return f"Does not answer: {peer.error[:200]}"
        return f"Answered, {ago(peer.answered_at)}" if peer.answered_at else "Never asked"
