"""The local run's secrets: made once, kept below var/secrets, readable by their owner alone."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from local.places import SECRETS

_MADE_BY: dict[str, Callable[[], str]] = {
    "django-secret-key": lambda: secrets.token_urlsafe(50),
    "userdb-secret-keys": lambda: Fernet.generate_key().decode(),
    "webhook-token": lambda: secrets.token_urlsafe(32),
    "admin-password": lambda: secrets.token_urlsafe(12),
    "inbox-signing-secret": lambda: secrets.token_urlsafe(32),
}


def path(name: str) -> Path:
    """Return the file that holds the secret, making both on first use."""
    file = SECRETS / name
    if not file.exists():
        write(file, _MADE_BY[name]())
    return file


def read(name: str) -> str:
    return path(name).read_text().strip()


def write(file: Path, value: str) -> None:
    """Write a secret whole or not at all, readable by its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(value + "\n")
    draft.replace(file)
