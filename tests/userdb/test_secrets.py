"""Channels' secrets: encrypted in the row, opened by any key in force, never in an error."""

import pytest
from cryptography.fernet import Fernet
from django.db import connections
from django.test import Client

from alert_bridge.checks import secrets_trouble
from userdb import secrets
from userdb.models import AuditEntry, Channel
from userdb.router import alias
from userdb.secrets import SecretKeyError

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Channel:
    monkeypatch.setenv("USERDB_SECRET_KEYS", OLD)
    channel = Channel(name="hook", kind="webhook")
    channel.secrets = {"url": "https://hooks.example.org/x", "secret": "s3cret"}
    channel.save()
    return channel


def raw() -> str:
    with connections[alias()].cursor() as cursor:
        cursor.execute("SELECT secret_token FROM userdb_channel")
        return str(cursor.fetchone()[0])


def test_the_raw_row_holds_no_secret(hook: Channel) -> None:
    assert "s3cret" not in raw()
    assert "hooks" not in raw()
    assert Fernet(OLD).decrypt(raw().encode())


def test_what_was_stored_is_read(hook: Channel) -> None:
    assert Channel.objects.get().secrets == {"url": "https://hooks.example.org/x", "secret": "s3cret"}


def test_a_new_key_in_front_encrypts_and_the_old_one_still_opens(
    hook: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERDB_SECRET_KEYS", f"{NEW},{OLD}")
    channel = Channel.objects.get()
    assert channel.secrets["secret"] == "s3cret"
    channel.secrets = {"secret": "n3w"}
    channel.save()
    assert Fernet(NEW).decrypt(raw().encode())


def test_saving_a_channels_page_brings_the_new_key_into_force(
    hook: Channel, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERDB_SECRET_KEYS", f"{NEW},{OLD}")
    form = {
        "name": "hook",
        "enabled": "on",
        "language": "en",
        "matchers": "",
        "quiet_zone": "UTC",
        "setting_url": "",
        "setting_secret": "",
    }
    admin_client.post(f"/admin/userdb/channel/{hook.pk}/change/", form)
    monkeypatch.setenv("USERDB_SECRET_KEYS", NEW)
    assert Channel.objects.get().secrets == {"url": "https://hooks.example.org/x", "secret": "s3cret"}
    assert AuditEntry.objects.filter(action="change", new__has_key="changed_secrets").count() == 0


@pytest.mark.parametrize("separator", [",", " ", "\n"])
def test_keys_are_apart_by_commas_or_lines(hook: Channel, monkeypatch: pytest.MonkeyPatch, separator: str) -> None:
    monkeypatch.setenv("USERDB_SECRET_KEYS", f"{NEW}{separator}{OLD}")
    assert Channel.objects.get().secrets["secret"] == "s3cret"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (NEW, "no key opens this channel's secrets"),
        ("", "USERDB_SECRET_KEYS is not set"),
        ("short", "a key is not 32 url-safe base64 bytes"),
        ("ключ", "a key is not 32 url-safe base64 bytes"),
    ],
    ids=["another", "none", "short", "not ASCII"],
)
def test_a_wrong_key_is_named_and_no_secret(
    hook: Channel, monkeypatch: pytest.MonkeyPatch, keys: str, text: str
) -> None:
    monkeypatch.setenv("USERDB_SECRET_KEYS", keys)
    with pytest.raises(SecretKeyError, match=text) as raised:
        _ = Channel.objects.get().secrets
    for secret in ("s3cret", OLD, raw(), keys or "s3cret"):
        assert secret not in str(raised.value)


def test_readiness_names_the_channel_that_no_key_opens(hook: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    Channel.objects.create(name="open", kind="webhook")
    monkeypatch.setenv("USERDB_SECRET_KEYS", NEW)
    assert secrets_trouble() == "USERDB_SECRET_KEYS opens no secrets of: hook"


def test_a_stored_token_that_was_tampered_with_opens_nothing(hook: Channel) -> None:
    Channel.objects.update(secret_token=raw()[:-8] + "AAAAAA==")
    with pytest.raises(SecretKeyError):
        _ = Channel.objects.get().secrets


def test_no_secrets_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USERDB_SECRET_KEYS")
    assert Channel.objects.create(name="open", kind="webhook").secrets == {}
    assert secrets.decrypt("") == {}
