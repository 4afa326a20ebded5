"""The bridge's pages in the admin: channels, and in place of userdb's own those of alerts, messages and webhooks."""

from django.contrib import admin
from django.contrib.auth.models import User

from alert_bridge.pages.alert import AlertPage
from alert_bridge.pages.channel import ChannelPage
from alert_bridge.pages.inbox import InboxPage
from alert_bridge.pages.outbox import NotificationPage
from alert_bridge.pages.users import UserPage
from userdb import admin as plain
from userdb.models import Alert, Channel, Notification, WebhookEvent

__all__ = ["plain"]

admin.site.register(Channel, ChannelPage)
for table, page in ((Alert, AlertPage), (Notification, NotificationPage), (WebhookEvent, InboxPage), (User, UserPage)):
    admin.site.unregister(table)
    admin.site.register(table, page)
