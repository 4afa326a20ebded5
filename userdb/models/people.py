"""What people decide: thresholds, acknowledgements, announced work; and the record of who changed what."""

from django.db import models

from runtime.closed_sets import EVERYONE
from userdb.fields import KeyField, UtcNowField
from userdb.models.alerts import Alert


class AlertPolicy(models.Model):
    """One threshold, for all tenants or for one. The rules in prometheus/ compare with it within a minute of its change."""

    policy = KeyField(max_length=64, help_text="The rule's name for it: repeated_failures, ...")
    tenant = KeyField(max_length=63, default=EVERYONE, db_default=EVERYONE, help_text="A tenant's name, or * for all.")
    threshold = models.FloatField(help_text="In the policy's own unit; see docs/policies.md.")
    note = models.CharField(max_length=200, blank=True, db_default="")
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = KeyField(max_length=150, editable=False, db_default="")

    class Meta:
        verbose_name_plural = "alert policies"
        ordering = ["policy", "tenant"]
        constraints = [models.UniqueConstraint(fields=["policy", "tenant"], name="policy_once_per_tenant")]

    def __str__(self) -> str:
        return f"{self.policy} for {self.tenant}"


class Acknowledgement(models.Model):
    """Who took an episode on; one that was withdrawn stays on record, and holds no repeats back."""

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="acknowledgements")
    by = KeyField(max_length=150)
    at = UtcNowField()
    note = models.TextField(blank=True)
    withdrawn_at = models.DateTimeField(null=True, editable=False, help_text="From then on repeats go on.")
    withdrawn_by = KeyField(max_length=150, default="", db_default="", editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.by} at {self.at:%F %R}"


class MaintenanceWindow(models.Model):
    """A tenant's announced work."""

    tenant = KeyField(max_length=63)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=200)
    created_by = KeyField(max_length=150, db_default="")
    created_at = UtcNowField()

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="maintenance_ends_after_start"
            )
        ]
        indexes = [
            # is a window of this tenant open now?
            models.Index(fields=["tenant", "ends_at"], name="maintenance_of_tenant")
        ]

    def __str__(self) -> str:
        return f"{self.tenant} from {self.starts_at:%F %R}"


class AuditEntry(models.Model):
    """One change of configuration or one action of a person: who, when, what, the old and the new. Rows are only added."""

    at = UtcNowField()
    by = KeyField(max_length=150)
    action = KeyField(max_length=32, help_text="add, change, delete, or the action's name.")
    kind = KeyField(max_length=64, help_text="What kind of thing was changed: channel, alertpolicy, ...")
    object_id = KeyField(max_length=64)
    name = models.CharField(max_length=255)
    old = models.JSONField(null=True)
    new = models.JSONField(null=True)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]
        indexes = [
            # the history of one thing
            models.Index(fields=["kind", "object_id", "-id"], name="audit_of_object")
        ]

    def __str__(self) -> str:
        return f"{self.by}: {self.action} {self.kind} {self.name}"
