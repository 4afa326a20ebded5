"""DingTalk's robot against a server that checks the signature, the size and the pace, and says 200 to what it refuses."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from alert_bridge.channels import dingtalk
from alert_bridge.channels.base import DeliveryError, PermanentError, Receipt, TemporaryError
from tests.alert_bridge import services
from tests.alert_bridge.messages import a_message, parts
from tests.alert_bridge.receivers import Receiver, receiver, status

SECRET = "SEC-of-the-robot"


@pytest.fixture
def robot() -> Iterator[Receiver]:
    with receiver(services.dingtalk(SECRET)) as made:
        yield made


def send(robot: Receiver, secret: str = SECRET, **changes: object) -> Receipt:
    values = {"url": f"{robot.url}?access_token=t0ken", "secret": secret}
    return dingtalk.send(values, a_message(**changes))


def refusal(robot: Receiver, body: bytes, code: int = 200) -> DeliveryError:
    robot.answer = status(code, body)
    with pytest.raises(DeliveryError) as caught:
        send(robot)
    return caught.value


def test_a_signed_markdown_message_is_taken(robot: Receiver) -> None:
    assert send(robot) == Receipt("200 0", "ok")
    content = json.loads(robot.got[0].body)
    assert content["markdown"]["title"] == "[FIRING] SimulationFailing"
    assert "潮流计算 does not converge" in content["markdown"]["text"]


def test_the_signature_is_the_documents_own() -> None:
    """Computed with OpenSSL: printf '1764000000000\\nthis is secret' | openssl dgst -sha256 -hmac 'this is secret' -binary."""
    url = dingtalk.signed("https://x/send?access_token=t", "this is secret", 1764000000000)
    query = parse_qs(urlsplit(url).query)
    assert query["timestamp"] == ["1764000000000"]
    assert query["sign"] == ["2okeMgl/WoQULlSbnkxloUiV9MtX3noV5vBNOoMXqXI="]


def test_without_a_secret_nothing_is_signed(robot: Receiver) -> None:
    robot.answer = status(200, b'{"errcode":0,"errmsg":"ok"}')
    send(robot, secret="")
    assert "sign=" not in robot.got[0].path


def test_a_wrong_secret_is_tried_again_because_somebody_mends_it(robot: Receiver) -> None:
    with pytest.raises(TemporaryError) as caught:
        send(robot, secret="other")
    assert (caught.value.reason, caught.value.answer) == ("login", "sign not match")


def test_the_twenty_first_message_of_a_minute_waits_until_the_robot_is_let_speak_again(robot: Receiver) -> None:
    for _ in range(20):
        send(robot)
    with pytest.raises(TemporaryError) as caught:
        send(robot)
    assert (caught.value.reason, caught.value.status, caught.value.retry_after) == ("rate_limited", "200 130101", 600)


@pytest.mark.parametrize("text", ["x", "流", '"\\'])
def test_the_longest_message_stays_below_20000_bytes(robot: Receiver, text: str) -> None:
    send(robot, parts=parts(paragraphs=(text * 5000,) * 2, labels=((text * 300, text * 300),) * 50))
    assert 10_000 < len(robot.got[0].body) <= 20_000


def test_what_the_body_refuses_is_refused_though_the_status_is_200(robot: Receiver) -> None:
    error = refusal(robot, b'{"errcode":400102,"errmsg":"robot is stopped"}')
    assert isinstance(error, PermanentError)
    assert (error.reason, error.answer) == ("rejected", "robot is stopped")


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b'{"errcode":-1,"errmsg":"busy"}', 200, "server_error"),
        (b'{"errcode":410100,"errmsg":"too fast"}', 200, "rate_limited"),
        (b"<html>log in to this network</html>", 200, "server_error"),
        (b"", 200, "server_error"),
        (b'{"errcode":0', 200, "server_error"),
        (b'{"errcode":0,"errmsg":"ok"}', 502, "server_error"),
        (b"<html>bad gateway</html>", 502, "server_error"),
    ],
)
def test_what_may_be_taken_later_is_tried_again(robot: Receiver, body: bytes, code: int, reason: str) -> None:
    error = refusal(robot, body, code)
    assert isinstance(error, TemporaryError)
    assert error.reason == reason
