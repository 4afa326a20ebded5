"""What each kind of process is told by its environment, and the same as files that a person sources."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from local import credentials
from local.places import TENANTS, VAR
from local.ports import Ports, url
from runtime.settings import env_text


def of_django(ports: Ports) -> dict[str, str]:
    """Return what the admin service's processes are given; a USERDB_URL of the user's own stays."""
    return {
        "USERDB_URL": env_text("USERDB_URL", f"sqlite:///{VAR / 'userdb.sqlite3'}"),
        "DJANGO_SECRET_KEY_FILE": str(credentials.path("django-secret-key")),
        "USERDB_SECRET_KEYS_FILE": str(credentials.path("userdb-secret-keys")),
        "WEBHOOK_TOKEN_FILE": str(credentials.path("webhook-token")),
        "BRIDGE_URL": url(ports.bridge),
        "PROMETHEUS_URL": url(ports.prometheus),
        "ALERTMANAGER_URL": url(ports.alertmanager),
        "CHANNEL_ALLOWED_NETWORKS": env_text("CHANNEL_ALLOWED_NETWORKS", "127.0.0.0/8"),  # the inbox
    }


def token_file(tenant: str) -> Path:
    return TENANTS / tenant / "token"


def of_tenant(tenant: str, ports: Ports) -> dict[str, str]:
    """Return all that a tenant's process is given: no credential of userdb is among it."""
    return {
        "TENANT_ID": tenant,
        "GATEWAY_URL": url(ports.gateway),
        "GATEWAY_TOKEN_FILE": str(token_file(tenant)),
        "GATEWAY_SPOOL": str(TENANTS / tenant / "spool"),
    }


def to_source(tenant: str) -> Path:
    """Return the file that makes a shell act as the tenant."""
    return TENANTS / tenant / "environment"


def write(file: Path, values: Mapping[str, str]) -> None:
    """Write a file to source: these variables, and the commands of the virtual environment on PATH."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)  # USERDB_URL may hold a password
    file.write_text("".join(lines))
