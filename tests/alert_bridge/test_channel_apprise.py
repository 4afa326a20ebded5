"""Whatever Apprise reaches, with the library itself and a real server: sent, failed, unknown, cut off, kept from the inside."""

import json
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from alert_bridge.channels import apprise
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from tests.alert_bridge.messages import a_message
from tests.alert_bridge.receivers import Receiver, dribble, receiver, status


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def url(service: Receiver, scheme: str = "json") -> str:
    return f"{scheme}://127.0.0.1:{service.server_port}/T0PS3CRET"


def send(where: str, deadline: float = 20, **changes: object) -> Receipt:
    return apprise.send({"url": where}, a_message(**changes), deadline)


def test_a_message_is_sent_with_title_text_and_kind(service: Receiver) -> None:
    assert send(url(service)).status == "sent"
    got = json.loads(service.got[0].body)
    assert (got["title"], got["message"], got["type"]) == ("[FIRING] SimulationFailing", "潮流计算", "failure")


def test_what_apprise_could_not_send_is_tried_again_with_its_own_words(service: Receiver) -> None:
    service.answer = status(503)
    with pytest.raises(TemporaryError) as caught:
        send(url(service))
    assert caught.value.reason == "server_error"
    assert "503" in caught.value.answer


def test_a_url_that_apprise_does_not_know_is_misconfigured() -> None:
    with pytest.raises(PermanentError) as caught:
        send("nosuchservice://T0PS3CRET/")
    assert caught.value.reason == "misconfigured"


def test_the_whole_send_ends_at_the_deadline(service: Receiver) -> None:
    stop = threading.Event()
    service.answer = dribble(b"HTTP/1.1 200 OK\r\n", stop)
    began = time.monotonic()
    with pytest.raises(TemporaryError) as caught:
        send(url(service), deadline=0.5)
    stop.set()
    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_reaches_no_private_address(service: Receiver, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv("CHANNEL_ALLOWED_NETWORKS")
    with pytest.raises(PermanentError) as caught:
        send(url(service).replace("127.0.0.1", host))
    assert caught.value.reason == "private_address"
    assert service.got == []


def test_a_proxy_of_the_environment_is_not_used(service: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        send(url(service))
        assert (len(service.got), len(proxy.got)) == (1, 0)


def test_the_proxy_that_is_set_is_used_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHANNEL_ALLOWED_NETWORKS")
    with receiver() as proxy:
        monkeypatch.setenv("CHANNEL_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        send("json://hooks.example/T0")
    assert proxy.got[0].path == "http://hooks.example/T0"


@pytest.mark.parametrize("wrong", ["", "not a url", "json://a b", "://x", "json:/x"])
def test_a_url_that_is_none_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="url: write one Apprise URL"):
        apprise.check({"url": wrong})


def test_a_missing_library_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "apprise", raising=False)
    with pytest.raises(ValueError, match=r"pip install 'mission-monitor\[apprise\]'"):
        apprise.check({"url": "json://example.org/"})


def test_any_piece_of_the_url_is_taken_for_a_key() -> None:
    hidden = apprise.parts_of("twilio://AC0sid:t0ken%21@15551234/15559876/?apikey=qu3ry")
    for text in ("AC0sid", "t0ken%21", "t0ken!", "15551234", "15559876", "qu3ry"):
        assert text in hidden
