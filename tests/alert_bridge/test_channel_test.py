"""The button "Send test": by POST and permission alone, shows what the destination said, says that it is a test, is audited."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.alert_bridge.receivers import Receiver, receiver, status
from userdb.models import AuditEntry, Channel, Notification

pytestmark = [pytest.mark.django_db(databases="__all__")]


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def hook(server: Receiver) -> Channel:
    channel = Channel(name="hook", kind="webhook", enabled=False)
    channel.secrets = {"url": f"{server.url}?token=qu3ry-s3cret", "secret": "signing-s3cret"}
    channel.save()
    return channel


def address(channel: Channel) -> str:
    return f"/admin/userdb/channel/{channel.pk}/test/"


def press(client: Client, channel: Channel) -> Any:
    return client.post(address(channel), follow=True)


def test_it_shows_the_destinations_answer(hook: Channel, server: Receiver, admin_client: Client) -> None:
    assert (
        "The test was delivered. The destination&#x27;s answer: 200 thanks"
        in press(admin_client, hook).content.decode()
    )
    assert len(server.got) == 1


def test_the_message_says_that_it_is_a_test(hook: Channel, server: Receiver, admin_client: Client) -> None:
    press(admin_client, hook)
    document = json.loads(server.got[0].body)
    assert (document["kind"], document["status"]) == ("test", "test")
    assert document["title"] == "[TEST] Mission Monitor, channel hook"


def test_in_the_channels_language(hook: Channel, server: Receiver, admin_client: Client) -> None:
    Channel.objects.update(language="zh")
    press(admin_client, hook)
    assert json.loads(server.got[0].body)["title"] == "【测试】Mission Monitor 通道 hook"


def test_each_test_has_a_key_of_its_own(hook: Channel, server: Receiver, admin_client: Client) -> None:
    press(admin_client, hook)
    press(admin_client, hook)
    assert len(set(server.keys())) == 2


def test_a_refusal_is_shown_with_its_reason_and_without_secrets(
    hook: Channel, server: Receiver, admin_client: Client
) -> None:
    server.answer = status(403, b"token qu3ry-s3cret is revoked")
    page = press(admin_client, hook).content.decode()
    assert "The test was not delivered: rejected: 403 token *** is revoked" in page
    assert "qu3ry-s3cret" not in page


def test_it_leaves_an_audit_entry_with_the_outcome(hook: Channel, server: Receiver, admin_client: Client) -> None:
    server.answer = status(503, b"signing-s3cret?")
    press(admin_client, hook)
    entry = AuditEntry.objects.get(action="send_test")
    assert (entry.by, entry.name) == ("admin", "hook")
    assert entry.new == {"outcome": "failed", "reason": "server_error", "status": "503", "answer": "***?"}


def test_nothing_is_owed_by_it(hook: Channel, admin_client: Client) -> None:
    press(admin_client, hook)
    assert not Notification.objects.exists()


def test_the_button_is_on_the_channels_page(hook: Channel, admin_client: Client) -> None:
    page = admin_client.get(f"/admin/userdb/channel/{hook.pk}/change/").content.decode()
    assert f'action="{address(hook)}"' in page
    assert "csrfmiddlewaretoken" in page.partition(address(hook))[2]


def test_a_get_sends_nothing(hook: Channel, server: Receiver, admin_client: Client) -> None:
    assert admin_client.get(address(hook)).status_code == 405
    assert server.got == []


def test_without_a_csrf_token_nothing_is_sent(hook: Channel, server: Receiver) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("admin"))
    assert client.post(address(hook)).status_code == 403
    assert server.got == []


def test_a_stranger_is_sent_to_the_login(hook: Channel, server: Receiver, client: Client) -> None:
    assert "/login/" in client.post(address(hook)).headers["Location"]
    assert server.got == []


@pytest.fixture
def editor(client: Client) -> Client:
    """May change channels, but not send."""
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_channel"))
    client.force_login(user)
    return client


def test_who_may_change_channels_may_not_send_for_that(hook: Channel, server: Receiver, editor: Client) -> None:
    assert editor.post(address(hook)).status_code == 403
    assert "Send test" not in editor.get(f"/admin/userdb/channel/{hook.pk}/change/").content.decode()
    assert server.got == []


def test_the_permission_of_its_own_is_enough(hook: Channel, server: Receiver, editor: Client) -> None:
    User.objects.get(username="bob").user_permissions.add(Permission.objects.get(codename="send_test_channel"))
    press(editor, hook)
    assert len(server.got) == 1


def test_a_channel_that_is_none_is_not_found(admin_client: Client) -> None:
    assert admin_client.post("/admin/userdb/channel/4711/test/").status_code == 404
