"""System checks of the bridge: can every channel's secrets be opened with the keys at hand?"""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.db import DatabaseError, InterfaceError, connections

from alert_bridge.channels import addresses, base, http
from runtime.settings import SettingsError
from userdb import secrets
from userdb.models import Channel
from userdb.router import alias


def locked_channels() -> dict[str, str]:
    """Return {name of a channel whose secrets can't be opened: why}."""
    locked = {}
    for channel in Channel.objects.exclude(secret_token=""):
        try:
            secrets.decrypt(channel.secret_token)
        except secrets.SecretKeyError as error:
            locked[channel.name] = str(error)
    return locked


def secrets_trouble() -> str | None:
    """Readiness: None, or one sentence that names the channels concerned."""
    try:
        secrets.check_keys()
    except secrets.SecretKeyError as error:
        return str(error)
    locked = locked_channels()
    if locked:
        return f"USERDB_SECRET_KEYS opens no secrets of: {', '.join(sorted(locked))}"
    return None


def secrets_readiness() -> str | None:
    """Return secrets_trouble() for the port: its threads end with their request, and so must their connection."""
    try:
        return secrets_trouble()
    except (DatabaseError, InterfaceError):
        return "not known while userdb can't be reached"
    finally:
        connections[alias()].close()


def require_secret_keys() -> None:
    """Raise SettingsError when the keys are missing or malformed; one that opens not every channel is readiness' matter."""
    try:
        secrets.check_keys()
    except secrets.SecretKeyError as error:
        raise SettingsError(str(error)) from error


def require_channel_settings() -> None:
    """Raise SettingsError when a setting of all channels can't be used."""
    base.send_deadline()
    addresses.allowed_networks()
    http.PROXY.values()


@register()
def check_secret_keys(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Fail when the keys are missing or open no channel's secrets. A userdb that is not there yet has no channels."""
    try:
        trouble = secrets_trouble()
    except DatabaseError:
        connections[alias()].close()
        trouble = None
    if trouble is None:
        return []
    hint = "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
    return [Error(trouble, hint=hint, id="alert_bridge.E001")]
