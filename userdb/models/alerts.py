"""What Alertmanager said, and what is known of each alert: identities, their episodes, and every change."""

from typing import Any

from django.db import models
from django.db.models import Q

from userdb.fields import AsciiKeyField, KeyField, UtcNowField


def one_of(field: str, choices: Any, name: str) -> models.CheckConstraint:
    """Return the database's own word that `field` holds one of `choices`."""
    return models.CheckConstraint(condition=Q(**{f"{field}__in": list(choices)}), name=name)


class WebhookEvent(models.Model):
    """One webhook exactly as Alertmanager sent it."""

    class Result(models.TextChoices):
        APPLIED = "applied"
        UNCHANGED = "unchanged"  # a retry, a repeat, the other peer's copy
        UNREADABLE = "unreadable"  # a JSON object, but no webhook: kept, nothing applied

    received_at = UtcNowField()
    sender = models.CharField(max_length=64, db_default="", help_text="Address that posted it.")
    body = models.BinaryField(help_text="The body as it came, zlib.")
    body_bytes = models.PositiveBigIntegerField(help_text="Its size before compression.")
    receiver = models.CharField(max_length=255, db_default="")
    group_key = models.TextField(blank=True)
    alerts = models.PositiveIntegerField(db_default=0, help_text="Entries in the body.")
    changes = models.PositiveIntegerField(db_default=0, help_text="Changes of alerts' states that it brought.")
    odd = models.JSONField(default=list, help_text="Entries set aside: index and reason.")
    result = KeyField(max_length=16, choices=Result.choices)
    error = models.TextField(blank=True)
    replayed_at = models.DateTimeField(null=True, help_text="When it was last applied again.")

    class Meta:
        ordering = ["-id"]
        permissions = [("replay_webhookevent", "Can apply stored webhooks again")]
        constraints = [one_of("result", ["applied", "unchanged", "unreadable"], "webhook_result")]
        indexes = [
            # retention, oldest first
            models.Index(fields=["received_at"], name="webhook_received"),
            # admin: what could not be read
            models.Index(fields=["result", "-id"], name="webhook_by_result"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class AlertIdentity(models.Model):
    """What is known now of one fingerprint. The row is the lock of all that concerns the alert; it is never NULLed."""

    class State(models.TextChoices):
        NEW = "new"  # locked for the first time, nothing applied yet
        FIRING = "firing"
        RESOLVED = "resolved"

    class Origin(models.TextChoices):
        ALERTMANAGER = "alertmanager"
        BRIDGE = "bridge"  # what the bridge says of itself and of the chain: no Alertmanager knows it

    class Suppression(models.TextChoices):
        NONE = ""
        SILENCED = "silenced"
        INHIBITED = "inhibited"

    fingerprint = AsciiKeyField(max_length=64, primary_key=True)
    alertname = models.CharField(max_length=255, db_default="")
    tenant = KeyField(max_length=63, db_default="")
    severity = models.CharField(max_length=32, db_default="")
    labels = models.JSONField(default=dict)
    origin = KeyField(max_length=16, choices=Origin.choices, db_default="alertmanager")
    # that of its last episode: so at most one is open. MySQL silently skips a conditional unique constraint
    state = KeyField(max_length=16, choices=State.choices, db_default="new")
    suppression = KeyField(
        max_length=16,
        choices=Suppression.choices,
        db_default="",
        blank=True,
        help_text="What every Alertmanager that lists it says, when it was last asked.",
    )
    suppressed_by = models.JSONField(null=True, help_text="Ids of silences, fingerprints of inhibiting alerts.")
    episodes = models.PositiveIntegerField(
        db_default=0, help_text="Number of the last episode: only that one can be open."
    )
    last_start = models.DateTimeField(null=True, help_text="L: the highest start ever heard of the last episode.")
    previous_start = models.DateTimeField(null=True, help_text="P: that of the episode before it.")
    last_end = models.DateTimeField(null=True)
    last_told_at = models.DateTimeField(null=True, help_text="When any channel last took a notification of it.")
    heard_at = models.DateTimeField(null=True, help_text="Of Watchdog alone: when a webhook last brought it.")
    version = models.PositiveBigIntegerField(db_default=0, help_text="Number of the last applied change.")
    created_at = UtcNowField()
    updated_at = UtcNowField()

    class Meta:
        verbose_name_plural = "alert identities"
        constraints = [
            one_of("state", ["new", "firing", "resolved"], "identity_state"),
            one_of("origin", ["alertmanager", "bridge"], "identity_origin"),
            one_of("suppression", ["", "silenced", "inhibited"], "identity_suppression"),
        ]
        indexes = [
            # admin: the last changed first; retention: those that nothing refers to any more, oldest first
            models.Index(fields=["updated_at"], name="identity_updated"),
            # admin: what fires now, by tenant
            models.Index(fields=["state", "tenant"], name="identity_by_state"),
            # admin: whose alerts, changes and messages are searched for. Neither column changes once it is written
            models.Index(fields=["tenant"], name="identity_by_tenant"),
            # the same by the alert's name
            models.Index(fields=["alertname"], name="identity_by_alertname"),
            # the same by its severity
            models.Index(fields=["severity"], name="identity_by_severity"),
        ]

    def __str__(self) -> str:
        return self.alertname or self.fingerprint


class Alert(models.Model):
    """One episode of one identity: from firing to resolved."""

    class State(models.TextChoices):
        FIRING = "firing"
        RESOLVED = "resolved"

    class ClosedBy(models.TextChoices):
        NOBODY = ""
        WEBHOOK = "webhook"
        SUPERSEDED = "superseded"  # a later start came before its end was heard
        RECONCILIATION = "reconciliation"  # no Alertmanager lists it any more
        UNCONFIRMED = "unconfirmed"  # it was heard again, and no Alertmanager lists it
        BRIDGE = "bridge"  # the bridge saw its own trouble end

    identity = models.ForeignKey(AlertIdentity, models.PROTECT, related_name="alerts")
    number = models.PositiveIntegerField(help_text="Its place among the identity's episodes, from 1.")
    state = KeyField(max_length=16, choices=State.choices)
    starts_at = models.DateTimeField(help_text="The lowest start heard.")
    highest_start = models.DateTimeField(help_text="The highest start heard: what later words are compared with.")
    ends_at = models.DateTimeField(null=True, help_text="Empty: still firing, or the end is not known.")
    closed_by = KeyField(max_length=16, choices=ClosedBy.choices, db_default="", blank=True)
    annotations = models.JSONField(default=dict)
    generator_url = models.TextField(blank=True)
    first_webhook = models.ForeignKey(WebhookEvent, models.SET_NULL, null=True, related_name="+")
    created_at = UtcNowField()
    updated_at = UtcNowField()

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("silence_alert", "Can silence alerts in Alertmanager, and end silences"),
            ("acknowledge_alert", "Can acknowledge alerts"),
        ]
        constraints = [
            # intake writes episodes by this key, and finds them by it
            models.UniqueConstraint(fields=["identity", "number"], name="episode_number_once"),
            one_of("state", ["firing", "resolved"], "alert_state"),
            one_of(
                "closed_by",
                ["", "webhook", "superseded", "reconciliation", "unconfirmed", "bridge"],
                "alert_closed_by",
            ),
        ]
        indexes = [
            # admin: the firing ones, newest first; retention: the resolved ones by their end
            models.Index(fields=["state", "-id"], name="alert_by_state"),
            # a word about an episode before the last one: which of the identity's episodes it means
            models.Index(fields=["identity", "highest_start"], name="alert_by_start"),
            # admin: those that began to be known in a span of time
            models.Index(fields=["created_at"], name="alert_created"),
            # admin: what reconciliation closed, and other rare ends
            models.Index(fields=["closed_by", "-id"], name="alert_by_closed_by"),
        ]

    def __str__(self) -> str:
        return f"{self.identity_id} #{self.number}"


class AlertTransition(models.Model):
    """One change of what is known of an alert, with the webhook or reconciliation that brought it. Rows are only added."""

    class Kind(models.TextChoices):
        FIRING = "firing"
        REFIRED = "refired"  # a start of the last episode came again after its end
        SUPERSEDED = "superseded"
        RESOLVED = "resolved"
        UNHEARD = "unheard"  # an episode of which only the end was heard
        STARTED_EARLIER = "started_earlier"  # the shown start moved backwards
        END_KNOWN = "end_known"  # an earlier episode's end
        UNCONFIRMED = "unconfirmed"  # a refired that no Alertmanager lists

    class Source(models.TextChoices):
        WEBHOOK = "webhook"
        REPLAY = "replay"  # a stored webhook, applied again
        RECONCILIATION = "reconciliation"  # what the Alertmanagers' API says
        RELAY = "relay"  # asked the Alertmanagers before it told
        BRIDGE = "bridge"  # what the bridge says of itself

    identity = models.ForeignKey(AlertIdentity, models.PROTECT, related_name="transitions")
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="transitions")
    version = models.PositiveBigIntegerField(help_text="The identity's count of changes, this one included.")
    kind = KeyField(max_length=16, choices=Kind.choices)
    source = KeyField(max_length=16, choices=Source.choices, db_default="webhook", help_text="Who brought it.")
    webhook = models.ForeignKey(WebhookEvent, models.SET_NULL, null=True, related_name="transitions")
    starts_at = models.DateTimeField(null=True, help_text="The start in the word that brought it.")
    ends_at = models.DateTimeField(null=True, help_text="The end in that word.")
    at = UtcNowField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["identity", "version"], name="transition_version_once"),
            one_of(
                "kind",
                [
                    "firing",
                    "refired",
                    "superseded",
                    "resolved",
                    "unheard",
                    "started_earlier",
                    "end_known",
                    "unconfirmed",
                ],
                "transition_kind",
            ),
            one_of("source", ["webhook", "replay", "reconciliation", "relay", "bridge"], "transition_source"),
        ]
        indexes = [
            # admin: the changes of a span of time
            models.Index(fields=["at"], name="transition_at"),
            # admin: the rare kinds
            models.Index(fields=["kind", "-id"], name="transition_by_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} v{self.version}"


class AlertmanagerPeer(models.Model):
    """What reconciliation last heard from one configured Alertmanager. One row a URL of ALERTMANAGER_URL."""

    url = KeyField(max_length=255, unique=True, help_text="Without its password.")
    asked_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(
        null=True, help_text="When it last answered: closing waits for every one of them."
    )
    started_at = models.DateTimeField(null=True, help_text="When it was started, by its own word.")
    firing = models.PositiveIntegerField(db_default=0, help_text="Alerts that it listed.")
    error = models.TextField(blank=True, help_text="Why it did not answer when it was last asked.")

    class Meta:
        ordering = ["url"]

    def __str__(self) -> str:
        return str(self.url)
