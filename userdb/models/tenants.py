"""Who may report: tenants and their reporters' tokens."""

from django.core.validators import RegexValidator
from django.db import models

from runtime.closed_sets import EVERYONE, OTHER, UNKNOWN
from userdb.fields import AsciiKeyField, KeyField, UtcNowField

RESERVED_NAMES = (UNKNOWN, OTHER, EVERYONE)
DNS_LABEL = RegexValidator(
    r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z",
    "A tenant's name is a DNS label: a-z, 0-9 and '-', at most 63 characters, no '-' at an end.",
)


class Tenant(models.Model):
    """One tenant that may report. Its name is the label `tenant` of every series and row."""

    name = KeyField(max_length=63, unique=True, validators=[DNS_LABEL])
    title = models.CharField(
        max_length=200, blank=True, db_default="", help_text="For people: company, contract, contact."
    )
    enabled = models.BooleanField(default=True, db_default=True, help_text="Off: its reports are refused with 401.")
    created_at = UtcNowField()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(name__in=[*RESERVED_NAMES, ""]),
                name="tenant_name_not_reserved",
                violation_error_message=f"No tenant may be called {', '.join(RESERVED_NAMES)}: these stand for others.",
            )
        ]

    def __str__(self) -> str:
        return str(self.name)


class ReporterToken(models.Model):
    """One tenant's right to report. The token is shown once, at its making; only its SHA-256 is kept."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tokens")
    hash = AsciiKeyField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the token, hexadecimal.")
    hint = AsciiKeyField(max_length=16, editable=False, help_text="The token's first characters, to tell tokens apart.")
    note = models.CharField(max_length=200, blank=True, db_default="")
    created_at = UtcNowField()
    created_by = KeyField(max_length=150, editable=False, db_default="")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["tenant", "-created_at"]

    def __str__(self) -> str:
        return f"{self.hint}…"
