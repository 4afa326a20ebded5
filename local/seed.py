"""What a first run needs in userdb: an admin, a tenant with its token, and channels to where its messages are seen.

Rows that are there already stay as they are: a second run goes on with what a person has changed. Called after `migrate`.
"""

from pathlib import Path

from django.contrib.auth import get_user_model
from django.db import transaction

from local import credentials
from local.environments import token_file
from local.ports import HOST, Ports, url
from userdb import audit, tokens
from userdb.models import Channel, Tenant
from userdb.router import alias

ADMIN = "admin"
_BY = "local run"


def fill(ports: Ports, tenant: str | None) -> None:
    """Make what is not there yet."""
    add_admin(credentials.read("admin-password"))
    add_mailbox(HOST, ports.smtp)
    hook = {"url": url(ports.inbox) + "/webhook", "secret": credentials.read("inbox-signing-secret")}
    _add_channel("inbox-webhook", "webhook", {}, hook)
    if tenant:
        add_tenant(tenant, token_file(tenant))


def add_admin(password: str) -> None:
    """Make the first admin when there is none of that name."""
    users = get_user_model()
    if not users.objects.filter(username=ADMIN).exists():
        users.objects.create_superuser(username=ADMIN, password=password)


def _add_channel(name: str, kind: str, config: dict[str, str], secrets: dict[str, str]) -> None:
    if Channel.objects.filter(name=name).exists():
        return
    channel = Channel(name=name, kind=kind, config=config)
    channel.secrets = secrets
    with transaction.atomic(using=alias()):
        channel.save()
        audit.record(_BY, "add", channel, new={"name": name, "kind": kind})


def add_mailbox(host: str, port: int) -> None:
    """Make the channel to a mailbox that takes everything, without a login."""
    mail = {
        "host": host,
        "port": str(port),
        "security": "none",
        "username": "",
        "sender": "mission-monitor@example.org",
        "recipients": "admins@example.org",
    }
    _add_channel("inbox-email", "email", mail, {})


def add_tenant(name: str, file: Path) -> None:
    """Make the tenant when it is new, and a reporter token when its file is not there or holds none of the tenant's."""
    with transaction.atomic(using=alias()):
        tenant, new = Tenant.objects.get_or_create(name=name)
        if new:
            audit.record(_BY, "add", tenant, new={"name": name})
        if not file.exists() or not tenant.tokens.filter(hash=tokens.digest(file.read_text().strip())).exists():
            token, row = tokens.create(tenant, _BY, "local run")
            audit.record(_BY, "add", row, new={"tenant": name, "hint": row.hint})
            credentials.write(file, token)
