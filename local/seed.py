"""What a first run needs in userdb: an admin, a tenant with its token, and two channels to the local inbox.

Rows that are there already stay as they are: a second run goes on with what a person has changed. Called after `migrate`.
"""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from django.contrib.auth import get_user_model
from django.db import transaction

from local import credentials
from local.places import TENANTS
from local.ports import HOST, Ports, url
from userdb import audit, tokens
from userdb.models import Channel, Tenant
from userdb.router import alias

ADMIN = "admin"
_BY = "local run"


def add_admin() -> bool:
    """Make the admin user with the generated password; return whether it is new."""
    users = get_user_model()
    if users.objects.filter(username=ADMIN).exists():
        return False
    users.objects.create_superuser(username=ADMIN, password=credentials.read("admin-password"))
    return True


def _add_channel(name: str, kind: str, config: dict[str, str], secrets: dict[str, str]) -> None:
    if Channel.objects.filter(name=name).exists():
        return
    channel = Channel(name=name, kind=kind, config=config)
    channel.secrets = secrets
    with transaction.atomic(using=alias()):
        channel.save()
        audit.record(_BY, "add", channel, new={"name": name, "kind": kind})


def add_channels(ports: Ports) -> None:
    """Make one channel by e-mail and one by signed webhook, both to the local inbox."""
    mail = {
        "host": HOST,
        "port": str(ports.smtp),
        "security": "none",
        "username": "",
        "sender": "mission-monitor@example.org",
        "recipients": "admins@example.org",
    }
    _add_channel("inbox-email", "email", mail, {})
    hook = {"url": url(ports.inbox) + "/webhook", "secret": credentials.read("inbox-signing-secret")}
    _add_channel("inbox-webhook", "webhook", {}, hook)


def add_tenant(name: str) -> None:
    """Make the tenant when it is new, and a reporter token when its file is not there."""
    file = token_file(name)
    with transaction.atomic(using=alias()):
        tenant, new = Tenant.objects.get_or_create(name=name)
        if new:
            audit.record(_BY, "add", tenant, new={"name": name})
        if not file.exists() or not tenant.tokens.filter(hash=tokens.digest(file.read_text().strip())).exists():
            token, row = tokens.create(tenant, _BY, "local run")
            audit.record(_BY, "add", row, new={"tenant": name, "hint": row.hint})
            credentials.write(file, token)


def token_file(tenant: str) -> Path:
    return TENANTS / tenant / "token"


def tenant_environment(tenant: str, ports: Ports) -> dict[str, str]:
    """Return all that a tenant's process is given: no credential of userdb is among it."""
    return {
        "TENANT_ID": tenant,
        "GATEWAY_URL": url(ports.gateway),
        "GATEWAY_TOKEN_FILE": str(token_file(tenant)),
        "GATEWAY_SPOOL": str(TENANTS / tenant / "spool"),
    }


def write_tenant_environment(tenant: str, ports: Ports) -> Path:
    """Write the file that makes a shell act as the tenant; return its path."""
    return write_environment(TENANTS / tenant / "environment", tenant_environment(tenant, ports))


def write_environment(file: Path, values: Mapping[str, str]) -> Path:
    """Write a file to source: these variables, and the commands of the virtual environment on PATH."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)  # USERDB_URL may hold a password
    file.write_text("".join(lines))
    return file
