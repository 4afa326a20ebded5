"""Which addresses channels may reach: public ones and those allowed, whatever the name says, and the one that was checked."""

import socket
from collections.abc import Iterator

import pytest

from alert_bridge.channels import KINDS
from alert_bridge.channels.addresses import allowed_networks, checked, is_allowed
from alert_bridge.channels.base import PermanentError
from alert_bridge.channels.http import post
from runtime.settings import SettingsError
from tests.alert_bridge.messages import a_message
from tests.alert_bridge.receivers import Mailbox, Receiver, mailbox, receiver

NONE = pytest.mark.usefixtures("nothing_allowed")


@pytest.fixture
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHANNEL_ALLOWED_NETWORKS")


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "0.0.0.1", "255.255.255.255",
        "169.254.169.254", "100.100.100.200", "192.0.0.192", "224.0.0.1", "240.0.0.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(address, [])


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "203.119.206.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address, [])


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16, 10.2.2.3", True),
        ("10.2.2.4", "10.1.0.0/16, 10.2.2.3", False),
        ("::ffff:10.1.2.3", "10.1.0.0/16", True),
        ("fd00::5", "fd00::/8", True),
        ("10.1.2.3", "fd00::/8", False),
    ],
)
def test_networks_that_are_named_are_allowed(
    monkeypatch: pytest.MonkeyPatch, address: str, networks: str, allowed: bool
) -> None:
    monkeypatch.setenv("CHANNEL_ALLOWED_NETWORKS", networks)
    assert is_allowed(address, allowed_networks()) is allowed


@pytest.mark.parametrize("networks", ["10.0.0.0/33", "inbox.internal", "10.0.0.1/8"])
def test_a_network_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, networks: str) -> None:
    monkeypatch.setenv("CHANNEL_ALLOWED_NETWORKS", networks)
    with pytest.raises(SettingsError, match=f"CHANNEL_ALLOWED_NETWORKS: .*{networks}"):
        allowed_networks()


@NONE
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0"])
def test_nothing_reaches_a_server_on_a_private_address_however_it_is_written(server: Receiver, host: str) -> None:
    with pytest.raises(PermanentError) as caught:
        post(f"http://{host}:{server.server_port}/s3cret", b"{}", {})
    assert caught.value.reason == "private_address"
    assert "CHANNEL_ALLOWED_NETWORKS" in caught.value.answer
    assert server.got == []


@NONE
@pytest.mark.parametrize("kind", ["webhook", "dingtalk", "feishu", "wecom", "slack"])
def test_every_kind_with_a_url_refuses_private_addresses(server: Receiver, kind: str) -> None:
    with pytest.raises(PermanentError) as caught:
        KINDS[kind].send({"url": server.url, "secret": "s3cret"}, a_message())
    assert caught.value.reason == "private_address"
    assert server.got == []


@NONE
def test_mail_servers_are_usually_inside_and_not_refused() -> None:
    with mailbox(Mailbox()) as box:
        values = {"host": "127.0.0.1", "port": str(box.port), "security": "none", "sender": "a@example.org"}
        KINDS["email"].send(values | {"recipients": "b@example.org"}, a_message())
    assert len(box.mails) == 1


class Names:
    """A resolver that the test writes: a name has other addresses at each look-up (DNS rebinding)."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), list[str]()
        self.real = socket.getaddrinfo

    def __call__(self, host: str, port: int, *more: object, **named: object) -> object:
        self.asked.append(host)
        if host != "rebound.example":
            return self.real(host, port, *more, **named)  # type: ignore[arg-type]
        found = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHANNEL_ALLOWED_NETWORKS")
    monkeypatch.setattr(socket, "getaddrinfo", Names(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(PermanentError, match=r"10\.0\.0\.1 is no public address"):
        checked("rebound.example", 80)


def test_the_address_that_was_checked_is_connected_to_though_the_name_changes(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    post(f"http://rebound.example:{server.server_port}/x", b"{}", {})
    assert names.asked.count("rebound.example") == 1
    assert server.got[0].headers["Host"] == f"rebound.example:{server.server_port}"


def test_the_next_address_is_tried_when_the_first_does_not_answer(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names(["127.0.0.9", "127.0.0.1"]))
    assert post(f"http://rebound.example:{server.server_port}/x", b"{}", {}).status == "200"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxies_of_the_environment_are_not_used(server: Receiver, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with receiver() as proxy:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        post(server.url, b"{}", {})
        assert (len(server.got), len(proxy.got)) == (1, 0)


@NONE
def test_the_proxy_that_is_set_is_used_wherever_it_is_and_decides_what_may_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiver() as proxy:
        monkeypatch.setenv("CHANNEL_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        post("http://hooks.example/T0", b"{}", {})
    assert proxy.got[0].path == "http://hooks.example/T0"
