"""What happened: failures of business runs, changes of containers, failed requests; and minutes of use and of requests."""

from django.db import models

from runtime.closed_sets import UNKNOWN
from userdb.fields import AsciiKeyField, KeyField, UtcNowField


class MonitorEvent(models.Model):
    """One thing that happened.

    The platform's other modules write rows too, with `event_type, source, level, message, detail` alone, by the ORM or by
    plain SQL: all else has defaults in the database. Without an `event_id` a row is never taken for a duplicate.
    """

    event_type = KeyField(max_length=32, help_text="gateway, container, request or custom.")
    source = models.CharField(max_length=255, db_default="")
    level = KeyField(max_length=16, db_default="error", help_text="info, warning, error or critical.")
    message = models.TextField()
    detail = models.JSONField(null=True, blank=True)
    created_at = UtcNowField()

    tenant = KeyField(max_length=63, db_default=UNKNOWN)
    failure_type = KeyField(max_length=64, db_default="")
    task = KeyField(max_length=200, db_default="")
    occurred_at = UtcNowField(help_text="When it happened, by the reporter's clock.")
    received_at = UtcNowField(help_text="When userdb received it, by userdb's clock.")
    event_id = AsciiKeyField(
        max_length=36, null=True, blank=True, help_text="A UUID: one report sent twice is one row."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "event_id"], name="event_once_per_tenant")]
        indexes = [
            # alert_bridge.tick: the rows received in the last hour, grouped into mission_recent_events
            models.Index(fields=["received_at", "event_type"], name="event_received"),
            # an alert's page: the last failures of its tenant (and type)
            models.Index(fields=["tenant", "event_type", "-id"], name="event_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.tenant} {self.event_type} {self.failure_type}".rstrip()


class RequestRollup(models.Model):
    """One minute of one tenant's requests with one outcome, as one gateway process counted them."""

    tenant = KeyField(max_length=63)
    minute = models.DateTimeField()
    outcome = KeyField(max_length=16, help_text="success, or the reason of the failure.")
    instance = KeyField(max_length=128, help_text="The gateway process that counted: replicas overwrite nobody's row.")
    requests = models.PositiveBigIntegerField(db_default=0)
    seconds = models.FloatField(db_default=0, help_text="Sum of the requests' durations, seconds.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "minute", "outcome", "instance"], name="request_minute_once")
        ]
        indexes = [
            # retention, and the gateway's history over all tenants
            models.Index(fields=["minute"], name="request_minute")
        ]

    def __str__(self) -> str:
        return f"{self.tenant} {self.minute:%F %R} {self.outcome}"


class ContainerUsage(models.Model):
    """One minute of one container's use of CPU and memory."""

    tenant = KeyField(max_length=63)
    minute = models.DateTimeField()
    namespace = KeyField(max_length=63)
    pod = KeyField(max_length=253)
    container = KeyField(max_length=63)
    cpu_cores = models.FloatField(help_text="Mean of the minute, cores.")
    memory_bytes = models.PositiveBigIntegerField(help_text="Working set, bytes.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "minute", "namespace", "pod", "container"], name="container_minute_once"
            )
        ]
        indexes = [
            # retention
            models.Index(fields=["minute"], name="usage_minute")
        ]

    def __str__(self) -> str:
        return f"{self.tenant} {self.pod}/{self.container} {self.minute:%F %R}"
