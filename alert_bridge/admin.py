"""The bridge's pages in the admin: channels, and in place of userdb's own those of alerts, thresholds, messages, webhooks."""

from django.contrib import admin
from django.contrib.auth.models import User

from alert_bridge.pages.alert import AlertPage
from alert_bridge.pages.channel import ChannelPage
from alert_bridge.pages.inbox import InboxPage
from alert_bridge.pages.outbox import NotificationPage
from alert_bridge.pages.policy import PolicyPage
from alert_bridge.pages.users import UserPage
from userdb import admin as plain
from userdb.models import Alert, AlertPolicy, Channel, Notification, WebhookEvent

__all__ = ["plain"]

admin.site.register(Channel, ChannelPage)
_INSTEAD = (
    (Alert, AlertPage), (AlertPolicy, PolicyPage), (Notification, NotificationPage), (WebhookEvent, InboxPage),
    (User, UserPage),
)  # fmt: skip
for table, page in _INSTEAD:
    admin.site.unregister(table)
    admin.site.register(table, page)
