"""The admin's pages of channels: secrets go in and never come out, mistakes are named at their field, edits are audited."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from userdb.models import AuditEntry, Channel, Notification

pytestmark = [pytest.mark.django_db(databases="__all__")]

ADD = "/admin/userdb/channel/add/"
HOOK = {
    "name": "hook",
    "enabled": "on",
    "language": "en",
    "matchers": "",
    "quiet_zone": "UTC",
    "setting_url": "https://hooks.example.org/x",
    "setting_secret": "s3cret",
}


@pytest.fixture
def hook(admin_client: Client) -> Channel:
    admin_client.post(f"{ADD}?kind=webhook", HOOK)
    return Channel.objects.get(name="hook")


def page(channel: Channel) -> str:
    return f"/admin/userdb/channel/{channel.pk}/change/"


def test_adding_asks_for_the_kind_first(admin_client: Client) -> None:
    answer = admin_client.get(ADD).content.decode()
    assert "?kind=email" in answer
    assert "?kind=webhook" in answer


def test_a_channel_is_added_with_its_secrets_encrypted(hook: Channel) -> None:
    assert hook.kind == "webhook"
    assert hook.secrets == {"url": "https://hooks.example.org/x", "secret": "s3cret"}
    assert "s3cret" not in hook.secret_token


def test_a_page_never_shows_a_secret(hook: Channel, admin_client: Client) -> None:
    answer = admin_client.get(page(hook)).content.decode()
    assert "never shown again" in answer
    assert "s3cret" not in answer
    assert "hooks.example.org" not in answer


def test_an_empty_secret_keeps_what_is_stored(hook: Channel, admin_client: Client) -> None:
    admin_client.post(page(hook), {**HOOK, "setting_url": "", "setting_secret": "", "name": "renamed"})
    hook.refresh_from_db()
    assert hook.name == "renamed"
    assert hook.secrets["secret"] == "s3cret"


def test_a_changed_secret_is_audited_by_its_name_alone(hook: Channel, admin_client: Client) -> None:
    admin_client.post(page(hook), {**HOOK, "setting_secret": "n3w"})
    entry = AuditEntry.objects.filter(kind="channel", action="change").get()
    assert (entry.by, entry.new["changed_secrets"]) == ("admin", ["secret"])
    assert "n3w" not in str((entry.old, entry.new))


def test_an_optional_secret_can_be_forgotten(admin_client: Client) -> None:
    mail: dict[str, Any] = {
        "name": "mail", "enabled": "on", "language": "en", "quiet_zone": "UTC",
        "setting_host": "smtp.example.org", "setting_port": "587",
        "setting_security": "tls", "setting_username": "u", "setting_password": "p4ss",
        "setting_sender": "mm@example.org", "setting_recipients": "ops@example.org",
    }  # fmt: skip
    admin_client.post(f"{ADD}?kind=email", mail)
    channel = Channel.objects.get(name="mail")
    assert channel.secrets == {"password": "p4ss"}
    admin_client.post(page(channel), {**mail, "setting_password": "", "forget_password": "on"})
    channel.refresh_from_db()
    assert channel.secrets == {}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("setting_url", "ftp://x", "write http://host/path"),
        ("matchers", "severity~error", "line 1:"),
        ("setting_secret", "", "This field is required"),
    ],
)
def test_a_mistake_is_named_at_its_field(admin_client: Client, field: str, value: str, text: str) -> None:
    answer = admin_client.post(f"{ADD}?kind=webhook", {**HOOK, field: value})
    assert text in " ".join(answer.context["adminform"].form.errors[field])
    assert not Channel.objects.exists()


def test_without_channels_the_list_says_that_nobody_is_told(admin_client: Client) -> None:
    assert "nobody will be told" in admin_client.get("/admin/userdb/channel/").content.decode()


def test_secrets_that_no_key_opens_are_asked_for_again(hook: Channel, admin_client: Client) -> None:
    Channel.objects.update(secret_token="not-a-token")
    assert "Enter it again" in admin_client.get(page(hook)).content.decode()
    admin_client.post(page(hook), HOOK)
    hook.refresh_from_db()
    assert hook.secrets["secret"] == "s3cret"


def test_a_channel_that_told_anything_is_kept(hook: Channel, admin_client: Client) -> None:
    Notification.objects.create(channel=hook, kind="digest", key="k1", cause_at=timezone.now())
    assert admin_client.post(f"/admin/userdb/channel/{hook.pk}/delete/", {"post": "yes"}).status_code == 403
    assert f"/admin/userdb/channel/{hook.pk}/delete/" not in admin_client.get(page(hook)).content.decode()
    assert Channel.objects.filter(pk=hook.pk).exists()


def test_a_channel_that_told_nothing_is_deleted(hook: Channel, admin_client: Client) -> None:
    admin_client.post(f"/admin/userdb/channel/{hook.pk}/delete/", {"post": "yes"})
    assert not Channel.objects.exists()
