"""Feishu's bot against a server that checks the signature, the size and the pace, and puts its word into the body."""

import json
from collections.abc import Iterator

import pytest

from alert_bridge.channels import feishu
from alert_bridge.channels.base import DeliveryError, PermanentError, Receipt, TemporaryError
from tests.alert_bridge import services
from tests.alert_bridge.messages import a_message, parts
from tests.alert_bridge.receivers import Receiver, receiver, status

SECRET = "of-the-bot"


@pytest.fixture
def bot() -> Iterator[Receiver]:
    with receiver(services.feishu(SECRET)) as made:
        yield made


def send(bot: Receiver, secret: str = SECRET, **changes: object) -> Receipt:
    return feishu.send({"url": bot.url, "secret": secret}, a_message(**changes))


def refusal(bot: Receiver, body: bytes, code: int = 200) -> DeliveryError:
    bot.answer = status(code, body)
    with pytest.raises(DeliveryError) as caught:
        send(bot)
    return caught.value


def test_a_signed_card_is_taken(bot: Receiver) -> None:
    assert send(bot) == Receipt("200 0", "success")
    card = json.loads(bot.got[0].body)["card"]
    assert card["header"]["title"]["content"] == "[FIRING] SimulationFailing"
    assert "潮流计算 does not converge" in card["elements"][0]["content"]


@pytest.mark.parametrize(("kind", "colour"), [("firing", "red"), ("resolved", "green"), ("test", "blue")])
def test_the_cards_colour_says_what_it_is(bot: Receiver, kind: str, colour: str) -> None:
    send(bot, kind=kind)
    assert json.loads(bot.got[0].body)["card"]["header"]["template"] == colour


def test_the_signature_is_the_documents_own() -> None:
    """Computed with OpenSSL: printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$(key in hex) -binary."""
    assert feishu.signature("this is secret", "1764000000") == "PjL0THy9GSyI84UniGwh68Mmh6UxL9X0Ts0qYrqZO2U="


def test_without_a_secret_nothing_is_signed(bot: Receiver) -> None:
    bot.answer = status(200, b'{"code":0,"msg":"success"}')
    send(bot, secret="")
    assert not {"sign", "timestamp"} & set(json.loads(bot.got[0].body))


def test_a_wrong_secret_is_tried_again_because_somebody_mends_it(bot: Receiver) -> None:
    with pytest.raises(TemporaryError) as caught:
        send(bot, secret="other")
    assert (caught.value.reason, caught.value.status) == ("login", "200 19021")


def test_too_many_at_once_are_tried_again(bot: Receiver) -> None:
    for _ in range(5):
        send(bot)
    with pytest.raises(TemporaryError) as caught:
        send(bot)
    assert (caught.value.reason, caught.value.answer) == ("rate_limited", "frequency limited")


@pytest.mark.parametrize("text", ["x", "流", "*"])
def test_the_longest_message_stays_below_20_kilobytes(bot: Receiver, text: str) -> None:
    send(bot, parts=parts(paragraphs=(text * 5000,) * 2, labels=((text * 300, text * 300),) * 50))
    assert 10_000 < len(bot.got[0].body) <= 20_000


@pytest.mark.parametrize("code", [200, 400])
def test_what_the_body_refuses_is_refused_whatever_the_status(bot: Receiver, code: int) -> None:
    error = refusal(bot, b'{"code":9499,"data":{},"msg":"Bad Request"}', code)
    assert isinstance(error, PermanentError)
    assert (error.reason, error.answer) == ("rejected", "Bad Request")


def test_the_older_answer_without_code_counts(bot: Receiver) -> None:
    bot.answer = status(200, b'{"StatusCode":0,"StatusMessage":"success"}')
    assert send(bot).answer == "success"


@pytest.mark.parametrize("body", [b"", b"[]", b'"ok"', b"<html>", b'{"code":null}'])
def test_an_answer_without_a_code_is_no_delivery(bot: Receiver, body: bytes) -> None:
    assert isinstance(refusal(bot, body), TemporaryError)
