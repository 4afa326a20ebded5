"""`route-management token`: create, list, rotate and revoke reporter tokens. Called by `cli.py`.

The token itself is the only line on standard output, so that it can go into a file; all else is said on standard error.
"""

import argparse
import sys
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.utils import timezone

from runtime.settings import SettingsError
from userdb import audit, tokens
from userdb.models import ReporterToken, Tenant
from userdb.transactions import in_transaction


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _print(tenant: Tenant, token: str, what: str) -> None:
    if not tenant.enabled:
        _say(f"tenant {tenant} is off: its reports are refused until it is enabled")
    _say(what)
    sys.stdout.write(token + "\n")


def _tenant(name: str) -> Tenant:
    found = Tenant.objects.filter(name=name).first()
    if found is None:
        raise SettingsError(f"there is no tenant {name!r}")
    return found


def _create(tenant: Tenant, note: str, expires: timedelta | None) -> str:
    token, row = tokens.create(
        tenant, audit.command_line(), note, None if expires is None else timezone.now() + expires
    )
    row.refresh_from_db()
    audit.record(audit.command_line(), "add", row, new=audit.picture(row))
    return token


def create(arguments: argparse.Namespace) -> int:
    """Make a token, and the tenant when it is new."""
    candidate = Tenant(name=arguments.tenant)
    try:
        candidate.clean_fields()
        candidate.validate_constraints()
    except ValidationError as error:
        raise SettingsError(f"{arguments.tenant!r}: {' '.join(error.messages)}") from error

    def work() -> tuple[Tenant, bool, str]:
        tenant, new = Tenant.objects.get_or_create(name=arguments.tenant)
        if new:
            tenant.refresh_from_db()
            audit.record(audit.command_line(), "add", tenant, new=audit.picture(tenant))
        return tenant, new, _create(tenant, arguments.note, arguments.expires)

    tenant, new, token = in_transaction(work)
    if new:
        _say(f"tenant {tenant} added")
    _print(tenant, token, f"token of {tenant}, shown once:")
    return 0


def rotate(arguments: argparse.Namespace) -> int:
    """Make a new token; the tenant's others end after the overlap."""
    tenant, ends = _tenant(arguments.tenant), timezone.now() + arguments.overlap

    def work() -> tuple[int, str]:
        in_force = list(tenant.tokens.filter(revoked_at=None).exclude(expires_at__lte=ends))
        for row in in_force:
            before, row.expires_at = audit.picture(row), ends
            row.save(update_fields=["expires_at"])
            audit.record(audit.command_line(), "rotate", row, before, audit.picture(row))
        return len(in_force), _create(tenant, arguments.note, None)

    older, token = in_transaction(work)
    _print(tenant, token, f"new token of {tenant}, shown once; {older} older ones end at {ends:%F %R} UTC:")
    return 0


def revoke(arguments: argparse.Namespace) -> int:
    """Refuse a token from now on."""

    def work() -> ReporterToken:
        rows = list(ReporterToken.objects.select_related("tenant").filter(hint=arguments.hint, revoked_at=None))
        if len(rows) != 1:
            raise SettingsError(f"{len(rows)} tokens not yet revoked begin with {arguments.hint!r}: see 'token list'")
        before, rows[0].revoked_at = audit.picture(rows[0]), timezone.now()
        rows[0].save(update_fields=["revoked_at"])
        audit.record(audit.command_line(), "revoke", rows[0], before, audit.picture(rows[0]))
        return rows[0]

    row = in_transaction(work)
    _say(f"{row} of {row.tenant} is refused from now on")
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
