"""Encryption of channels' secrets: JSON in, Fernet token out, with the keys of USERDB_SECRET_KEYS.

The first key encrypts, each may decrypt (MultiFernet, https://cryptography.io/en/latest/fernet/), so that a key is
rotated by putting the new one first. Only alert_bridge holds the keys.
"""

import json
import logging
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from runtime.settings import Secret, SettingsError

log = logging.getLogger(__name__)
KEYS = Secret("USERDB_SECRET_KEYS")


class SecretKeyError(Exception):
    """USERDB_SECRET_KEYS is missing, malformed, or none of its keys opens what is stored."""


def _fernet() -> MultiFernet:
    try:
        keys = [key for value in KEYS.values() for key in value.replace(",", " ").split()]
    except SettingsError as error:
        raise SecretKeyError(str(error)) from error
    if not keys:
        raise SecretKeyError("USERDB_SECRET_KEYS is not set: channels' secrets can't be read or written")
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise SecretKeyError(
            "USERDB_SECRET_KEYS: a key is not 32 url-safe base64 bytes (Fernet.generate_key())"
        ) from error


def encrypt(values: dict[str, Any]) -> str:
    """Return the token that holds `values`; raise SecretKeyError without a usable key."""
    return _fernet().encrypt(json.dumps(values).encode()).decode()


def decrypt(token: str) -> dict[str, Any]:
    """Return what `encrypt` was given ({} for an empty token); raise SecretKeyError when no key opens it."""
    if not token:
        return {}
    try:
        values: dict[str, Any] = json.loads(_fernet().decrypt(token.encode()))
    except InvalidToken as error:
        raise SecretKeyError("USERDB_SECRET_KEYS: no key opens this channel's secrets") from error
    return values


def check_keys() -> None:
    """Raise SecretKeyError when the keys are missing or malformed."""
    _fernet()
