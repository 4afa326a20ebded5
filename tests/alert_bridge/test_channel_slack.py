"""Slack's incoming webhook against a server that answers with its words: `ok`, or why not."""

import json
from collections.abc import Iterator

import pytest

from alert_bridge.channels import slack
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from tests.alert_bridge import services
from tests.alert_bridge.messages import a_message, parts
from tests.alert_bridge.receivers import Receiver, receiver, status


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver(services.slack()) as made:
        yield made


def send(hook: Receiver, **changes: object) -> Receipt:
    return slack.send({"url": hook.url}, a_message(**changes))


def text(hook: Receiver) -> str:
    found: str = json.loads(hook.got[-1].body)["text"]
    return found


def test_a_text_is_taken(hook: Receiver) -> None:
    assert send(hook) == Receipt("200", "ok")
    assert "*FIRING: SimulationFailing (alpha)*" in text(hook)
    assert "<http://bridge/admin/userdb/alert/1/change/|Who was told, and when>" in text(hook)


def test_it_comes_again_when_slack_says(hook: Receiver) -> None:
    send(hook)
    send(hook)
    with pytest.raises(TemporaryError) as caught:
        send(hook)
    assert (caught.value.reason, caught.value.status, caught.value.retry_after) == ("rate_limited", "429", 30)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (400, b"invalid_payload"),
        (403, b"action_prohibited"),
        (404, b"no_service"),
        (404, b"channel_not_found"),
        (410, b"channel_is_archived"),
    ],
)
def test_a_word_with_4xx_is_final_and_kept(hook: Receiver, code: int, word: bytes) -> None:
    hook.answer = status(code, word)
    with pytest.raises(PermanentError) as caught:
        send(hook)
    assert (caught.value.reason, caught.value.answer) == ("rejected", word.decode())


@pytest.mark.parametrize(("code", "word"), [(500, b"rollup_error"), (200, b"<html>"), (200, b"")])
def test_what_is_not_ok_is_tried_again(hook: Receiver, code: int, word: bytes) -> None:
    hook.answer = status(code, word)
    with pytest.raises(TemporaryError) as caught:
        send(hook)
    assert caught.value.reason == "server_error"


def test_the_longest_text_has_4000_characters(hook: Receiver) -> None:
    send(hook, parts=parts(paragraphs=("流&" * 2500,), labels=(("流<" * 300, "x" * 300),) * 50))
    assert 3_000 < len(text(hook)) <= 4_000
