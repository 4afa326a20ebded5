"""`route-management token`: create, list, rotate and revoke reporter tokens. Called by `cli.py`.

The token itself is the only line on standard output, so that it can go into a file; all else is said on standard error.
"""

import argparse
import getpass
import sys
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from runtime.settings import SettingsError
from userdb import audit, tokens
from userdb.models import ReporterToken, Tenant
from userdb.router import alias


def _by() -> str:
    return f"{getpass.getuser()} (command line)"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _tenant(name: str) -> Tenant:
    found = Tenant.objects.filter(name=name).first()
    if found is None:
        raise SettingsError(f"there is no tenant {name!r}")
    return found


def _create(tenant: Tenant, note: str, expires: timedelta | None) -> str:
    token, row = tokens.create(tenant, _by(), note, timezone.now() + expires if expires else None)
    row.refresh_from_db()
    audit.record(_by(), "add", row, new=audit.picture(row))
    return token


def create(arguments: argparse.Namespace) -> int:
    """Make a token, and the tenant when it is new."""
    with transaction.atomic(using=alias()):
        tenant = Tenant.objects.filter(name=arguments.tenant).first()
        if tenant is None:
            tenant = Tenant(name=arguments.tenant)
            try:
                tenant.full_clean()
            except ValidationError as error:
                raise SettingsError(f"{arguments.tenant!r}: {' '.join(error.messages)}") from error
            tenant.save()
            tenant.refresh_from_db()
            audit.record(_by(), "add", tenant, new=audit.picture(tenant))
            _say(f"tenant {tenant} added")
        token = _create(tenant, arguments.note, arguments.expires)
    _say(f"token of {tenant}, shown once:")
    sys.stdout.write(token + "\n")
    return 0


def rotate(arguments: argparse.Namespace) -> int:
    """Make a new token; the tenant's others end after the overlap."""
    with transaction.atomic(using=alias()):
        tenant, ends = _tenant(arguments.tenant), timezone.now() + arguments.overlap
        in_force = list(tenant.tokens.filter(revoked_at=None).exclude(expires_at__lte=ends))
        for row in in_force:
            before, row.expires_at = audit.picture(row), ends
            row.save(update_fields=["expires_at"])
            audit.record(_by(), "rotate", row, before, audit.picture(row))
        token = _create(tenant, arguments.note, None)
    _say(f"new token of {tenant}, shown once; {len(in_force)} older ones end at {ends:%F %R} UTC:")
    sys.stdout.write(token + "\n")
    return 0


def revoke(arguments: argparse.Namespace) -> int:
    """Refuse a token from now on."""
    rows = list(ReporterToken.objects.filter(hint=arguments.hint, revoked_at=None))
    if len(rows) != 1:
        raise SettingsError(f"{len(rows)} tokens in force begin with {arguments.hint!r}: see 'token list'")
    before, rows[0].revoked_at = audit.picture(rows[0]), timezone.now()
    with transaction.atomic(using=alias()):
        rows[0].save(update_fields=["revoked_at"])
        audit.record(_by(), "revoke", rows[0], before, audit.picture(rows[0]))
    _say(f"{rows[0]} of {rows[0].tenant} is refused from now on")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """List tokens; none can be shown again."""
    rows = ReporterToken.objects.select_related("tenant").order_by("tenant__name", "pk")
    if arguments.tenant:
        rows = rows.filter(tenant=_tenant(arguments.tenant))
    line = "{:<10} {:<24} {:<12} {:<17} {:<17} {}\n"
    sys.stdout.write(line.format("TOKEN", "TENANT", "STATE", "CREATED", "LAST USED", "NOTE"))
    for row in rows:
        expired = row.expires_at is not None and row.expires_at <= timezone.now()
        state = "revoked" if row.revoked_at else "expired" if expired else "in force"
        used = f"{row.last_used_at:%F %R}" if row.last_used_at else "never"
        sys.stdout.write(line.format(row.hint, row.tenant.name, state, f"{row.created_at:%F %R}", used, row.note))
    return 0
