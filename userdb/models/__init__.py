"""Every table of userdb, by what it is about. Logic of the flow is not here: it is in the processes that use the rows."""

from userdb.models.alerts import Alert, AlertIdentity, AlertmanagerPeer, AlertTransition, WebhookEvent
from userdb.models.delivery import Channel, DeliveryAttempt, Notification
from userdb.models.events import ContainerUsage, MonitorEvent, RequestRollup
from userdb.models.people import Acknowledgement, AlertPolicy, AuditEntry, MaintenanceWindow
from userdb.models.tenants import ReporterToken, Tenant

__all__ = [
    "Acknowledgement",
    "Alert",
    "AlertIdentity",
    "AlertPolicy",
    "AlertTransition",
    "AlertmanagerPeer",
    "AuditEntry",
    "Channel",
    "ContainerUsage",
    "DeliveryAttempt",
    "MaintenanceWindow",
    "MonitorEvent",
    "Notification",
    "ReporterToken",
    "RequestRollup",
    "Tenant",
    "WebhookEvent",
]
