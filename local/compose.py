"""What docker-compose.yml needs beside itself: its secrets, made on the host, and the first rows, made in a container.

`python -m local.compose` (`make env`) writes .env and secrets/ where they are missing, and never again: a database keeps the
password that it was made with. `python -m local.compose seed` is a service of the compose file; what is there stays.
"""

import argparse
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from local.places import SOURCE
from runtime.flags import exit_codes
from runtime.settings import SettingsError

_MADE_BY: dict[str, Callable[[], str]] = {
    "admin-password": lambda: secrets.token_urlsafe(12),
    "django-secret-key": lambda: secrets.token_urlsafe(50),
    "grafana-admin-password": lambda: secrets.token_urlsafe(12),
    # quoted in SQL and in a URL: letters and digits alone
    "grafana-userdb-password": lambda: secrets.token_hex(24),
    "mysql-password": lambda: secrets.token_hex(24),
    "mysql-root-password": lambda: secrets.token_hex(24),
    "userdb-secret-keys": lambda: Fernet.generate_key().decode(),
    "webhook-token": lambda: secrets.token_urlsafe(32),
}


def write_secrets(folder: Path) -> list[str]:
    """Write the secrets that are missing; return their names.

    The folder is its owner's alone. The files in it are readable, because a container sees a file with its owner of the
    host: its own user, 10001, would not be allowed to open it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    made = [name for name in _MADE_BY if _write(folder / name, _MADE_BY[name])]
    password = (folder / "mysql-password").read_text().strip()
    if _write(folder / "userdb-url", lambda: f"mysql://userdb:{password}@mysql:3306/userdb"):
        made.append("userdb-url")
    return made


def _write(file: Path, make: Callable[[], str]) -> bool:
    try:
        with file.open("x") as out:  # what is there is never replaced
            out.write(make() + "\n")
    except FileExistsError:
        return False
    file.chmod(0o444)
    return True


def write_settings(folder: Path) -> bool:
    """Copy .env.example to .env when there is none; return whether it was copied."""
    try:
        with (folder / ".env").open("x") as out:
            out.write((folder / ".env.example").read_text())
    except FileExistsError:
        return False
    return True


def _prepare(arguments: argparse.Namespace) -> int:
    if write_settings(SOURCE):
        sys.stdout.write(".env: made from .env.example\n")
    made = write_secrets(SOURCE / "secrets")
    sys.stdout.write(f"secrets/: {', '.join(made) if made else 'all there'}\n")
    sys.stdout.write(
        "next: docker compose up --build; then http://127.0.0.1:8000, user admin, secrets/admin-password\n"
    )
    return 0


def _seed(arguments: argparse.Namespace) -> int:
    import django

    from userdb.health import require_migrated

    django.setup()
    require_migrated()
    from local import seed

    host, _, port = arguments.smtp.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError(f"--smtp: {arguments.smtp!r} is no HOST:PORT")
    seed.add_admin(arguments.password_file.read_text().strip())
    seed.add_mailbox(host, int(port))
    seed.add_tenant(arguments.tenant, arguments.token_file)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m local.compose", description="Secrets and first rows of the compose file."
    )
    parser.set_defaults(run=_prepare)
    commands = parser.add_subparsers(metavar="COMMAND")
    seed = commands.add_parser("seed", help="the first admin, the channel to the mailbox, the sample tenant")
    seed.add_argument("--smtp", required=True, metavar="HOST:PORT", help="the mailbox")
    seed.add_argument("--tenant", required=True)
    seed.add_argument("--token-file", required=True, type=Path, help="where the tenant's reporter token is written")
    seed.add_argument("--password-file", required=True, type=Path, help="holds the first admin's password")
    seed.set_defaults(run=_seed)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alert_bridge.settings")
    sys.exit(exit_codes("local.compose", main))
