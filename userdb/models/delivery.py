"""Whom to tell, what is owed to each, and every try to send it."""

from datetime import timedelta
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models

from userdb import secrets
from userdb.fields import AsciiKeyField, KeyField, UtcNowField
from userdb.matchers import validate_matchers
from userdb.models.alerts import Alert, AlertIdentity, one_of
from userdb.quiet_hours import validate_zone


class Channel(models.Model):
    """One destination and which alerts it wants."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"
        DINGTALK = "dingtalk", "DingTalk"
        FEISHU = "feishu", "Feishu / Lark"
        WECOM = "wecom", "WeCom"
        SLACK = "slack", "Slack"
        APPRISE = "apprise", "Other (Apprise)"

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        CHINESE = "zh", "中文"

    name = KeyField(max_length=100, unique=True)
    kind = KeyField(max_length=16, choices=Kind.choices)
    enabled = models.BooleanField(default=True, db_default=True)
    config = models.JSONField(default=dict, blank=True, help_text="What is no secret; see docs/channels.md.")
    secret_token = models.TextField(
        blank=True, editable=False, db_default="", help_text="Encrypted with USERDB_SECRET_KEYS."
    )
    language = KeyField(
        max_length=8, choices=Language.choices, default=Language.ENGLISH, db_default="en", help_text="Of its messages."
    )
    matchers = models.TextField(
        blank=True,
        validators=[validate_matchers],
        help_text="Which alerts it wants: matchers as Alertmanager writes them, one a line, all must hold "
        '(<code>severity=~"error|critical"</code>). Empty: every alert but Watchdog.',
    )
    tenants = models.JSONField(default=list, blank=True, help_text="Names of tenants. Empty: the alerts of all.")
    send_resolved = models.BooleanField(default=True, db_default=True)
    resolved_without_firing = models.BooleanField(
        default=True,
        db_default=True,
        help_text='When the firing could not be delivered: send the end as "was firing, is resolved", or nothing.',
    )
    repeat_after = models.DurationField(
        null=True,
        blank=True,
        default=timedelta(hours=4),
        help_text="Tell again while it fires, after this time (hh:mm:ss). Empty: never.",
    )
    quiet_start = models.TimeField(
        null=True, blank=True, help_text="What is owed from this time of the day on waits. Empty: no quiet hours."
    )
    quiet_end = models.TimeField(null=True, blank=True, help_text="Until this time, the next day's when it is earlier.")
    quiet_zone = KeyField(
        max_length=64,
        default="UTC",
        db_default="UTC",
        validators=[validate_zone],
        help_text="Whose clock: Asia/Shanghai.",
    )
    quiet_critical = models.BooleanField(
        default=True, db_default=True, help_text="What is critical is told in quiet hours too."
    )
    per_minute = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Messages a minute; what is owed beyond it is told in one digest. Empty: the kind's own limit.",
    )
    late_after = models.DurationField(
        null=True,
        blank=True,
        default=timedelta(hours=1),
        help_text="What could not be sent within this time (hh:mm:ss) is not told as if it were new. Empty: it always is.",
    )
    created_at = UtcNowField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        permissions = [("send_test_channel", "Can send a test through a channel")]
        constraints = [
            one_of("kind", ["email", "webhook", "dingtalk", "feishu", "wecom", "slack", "apprise"], "channel_kind"),
            one_of("language", ["en", "zh"], "channel_language"),
            models.CheckConstraint(
                condition=models.Q(quiet_start=None, quiet_end=None)
                | models.Q(quiet_start__isnull=False, quiet_end__isnull=False)
                & ~models.Q(quiet_start=models.F("quiet_end")),
                name="channel_quiet_hours_whole",
                violation_error_message="Quiet hours have a start and an end, and these differ.",
            ),
        ]

    def __str__(self) -> str:
        return str(self.name)

    @property
    def secrets(self) -> dict[str, Any]:
        """Decrypted; raises SecretKeyError when no key opens them."""
        return secrets.decrypt(self.secret_token)

    @secrets.setter
    def secrets(self, values: dict[str, Any]) -> None:
        self.secret_token = secrets.encrypt(values) if values else ""


class Notification(models.Model):
    """One message owed to one channel: the outbox. Written in the transaction that records its cause."""

    class Kind(models.TextChoices):
        FIRING = "firing"
        REFIRED = "refired"
        REPEAT = "repeat"
        RESOLVED = "resolved"
        DIGEST = "digest"

    class State(models.TextChoices):
        UNCONFIRMED = "unconfirmed"  # a refired that the Alertmanagers have not been asked about
        OWED = "owed"
        SENDING = "sending"
        DELIVERED = "delivered"
        VOID = "void"  # a later episode made it pointless before it was sent
        LATE = "late"
        IN_DIGEST = "in_digest"
        DEAD = "dead"  # refused for good, or tried too often: waits for a person

    WAITING = ("unconfirmed", "owed", "sending")
    """While one of these is earlier, nothing later of the same identity goes to the same channel."""

    key = KeyField(max_length=190, unique=True, help_text="Idempotency key: the same at every try, whoever sends it.")
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="notifications")
    identity = models.ForeignKey(AlertIdentity, models.PROTECT, null=True, related_name="notifications")
    alert = models.ForeignKey(Alert, models.CASCADE, null=True, related_name="notifications")
    kind = KeyField(max_length=16, choices=Kind.choices)
    ordinal = models.PositiveIntegerField(db_default=1, help_text="Which repeat (or refired) of this episode it is.")
    state = KeyField(max_length=16, choices=State.choices, db_default="owed")
    digest = models.ForeignKey("self", models.SET_NULL, null=True, related_name="members")
    cause_at = UtcNowField(help_text="When the webhook that caused it was received.")
    created_at = UtcNowField()
    due_at = UtcNowField(help_text="Not before this time.")
    first_due_at = UtcNowField(help_text="When it could first be sent: lateness counts from here.")
    attempts = models.PositiveIntegerField(db_default=0)
    attempts_before = models.PositiveIntegerField(
        db_default=0, help_text="Attempts made before a person sent it again: the limit counts from here."
    )
    claim = AsciiKeyField(max_length=32, db_default="", help_text="Who is sending it.")
    claimed_until = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    reason = KeyField(max_length=32, db_default="", help_text="Why the last try failed, or why it is void.")

    class Meta:
        ordering = ["-id"]
        permissions = [("resend_notification", "Can send dead notifications again")]
        constraints = [
            one_of("kind", ["firing", "refired", "repeat", "resolved", "digest"], "notification_kind"),
            one_of(
                "state",
                ["unconfirmed", "owed", "sending", "delivered", "void", "late", "in_digest", "dead"],
                "notification_state",
            ),
        ]
        indexes = [
            # relay: what is due for one channel; alert_bridge.tick: how much waits
            models.Index(fields=["state", "channel", "due_at"], name="notification_due"),
            # relay: is an earlier one of the same identity and channel still waiting?
            models.Index(fields=["identity", "channel", "id"], name="notification_order"),
            # intake: what the channels hold of an episode
            models.Index(fields=["alert", "channel", "kind"], name="notification_of_episode"),
            # admin: the messages of a span of time
            models.Index(fields=["created_at"], name="notification_created"),
            # admin: digests and other rare kinds
            models.Index(fields=["kind", "-id"], name="notification_by_kind"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind} to {self.channel_id}"


class DeliveryAttempt(models.Model):
    """One try to send one notification, and the answer. The row is there before the first byte goes out."""

    class Outcome(models.TextChoices):
        STARTED = "started"  # under way
        DELIVERED = "delivered"
        TEMPORARY = "temporary"  # failed, will be tried again
        PERMANENT = "permanent"  # refused for good
        UNKNOWN = "unknown"  # its process died or was paused past its lease: the message may have arrived

    notification = models.ForeignKey(Notification, models.CASCADE, related_name="tries")
    number = models.PositiveIntegerField()
    relay = models.CharField(max_length=128, help_text="Host and process that tried.")
    started_at = UtcNowField()
    milliseconds = models.PositiveIntegerField(null=True)
    outcome = KeyField(max_length=16, choices=Outcome.choices, db_default="started")
    reason = KeyField(max_length=32, db_default="")
    status = models.CharField(max_length=32, db_default="", help_text="The destination's code: HTTP or SMTP.")
    answer = models.TextField(blank=True, help_text="The destination's answer, cut and masked.")
    after_lease = models.BooleanField(
        db_default=False, help_text="The claim had passed to another relay: this one may have told it a second time."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["notification", "number"], name="attempt_number_once"),
            one_of("outcome", ["started", "delivered", "temporary", "permanent", "unknown"], "attempt_outcome"),
        ]
        indexes = [
            # admin: the tries of a span of time
            models.Index(fields=["started_at"], name="attempt_started"),
            # admin: the tries that failed
            models.Index(fields=["outcome", "-id"], name="attempt_by_outcome"),
            # admin: those that may have told something twice
            models.Index(fields=["after_lease", "-id"], name="attempt_after_lease"),
        ]

    def __str__(self) -> str:
        return f"try {self.number}: {self.outcome}"
