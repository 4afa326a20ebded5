"""WeCom's robot against a server that checks key, size and pace, and says 200 to what it refuses."""

import json
from collections.abc import Iterator

import pytest

from alert_bridge.channels import wecom
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from tests.alert_bridge import services
from tests.alert_bridge.messages import a_message, parts
from tests.alert_bridge.receivers import Receiver, receiver, status

KEY = "693axxx6-7aoc-4bc4"


@pytest.fixture
def robot() -> Iterator[Receiver]:
    with receiver(services.wecom(KEY)) as made:
        yield made


def send(robot: Receiver, key: str = KEY, **changes: object) -> Receipt:
    return wecom.send({"url": f"{robot.url}?key={key}"}, a_message(**changes))


def content(robot: Receiver) -> str:
    text: str = json.loads(robot.got[-1].body)["markdown"]["content"]
    return text


def test_a_markdown_message_is_taken(robot: Receiver) -> None:
    assert send(robot) == Receipt("200 0", "ok")
    assert content(robot).startswith("**FIRING: SimulationFailing (alpha)**\n潮流计算 does not converge\n")


def test_a_key_that_is_none_is_refused_for_good(robot: Receiver) -> None:
    with pytest.raises(PermanentError) as caught:
        send(robot, key="none")
    assert (caught.value.reason, caught.value.status) == ("rejected", "200 93000")


def test_the_twenty_first_message_of_a_minute_waits_for_the_next_one(robot: Receiver) -> None:
    for _ in range(20):
        send(robot)
    with pytest.raises(TemporaryError) as caught:
        send(robot)
    assert (caught.value.reason, caught.value.retry_after) == ("rate_limited", 60)


@pytest.mark.parametrize("text", ["x", "流", "😀"])
def test_the_longest_message_stays_below_4096_bytes(robot: Receiver, text: str) -> None:
    send(robot, parts=parts(paragraphs=(text * 5000,), labels=((text * 300, text * 300),) * 50))
    assert 2_000 < len(content(robot).encode()) <= 4096
    assert content(robot).endswith("… (cut)")
    assert "http://bridge/admin/userdb/alert/1/change/" in content(robot)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"errcode":-1,"errmsg":"system busy"}', TemporaryError),
        (b'{"errcode":45033,"errmsg":"concurrent"}', TemporaryError),
        (b'{"errcode":40058,"errmsg":"exceed max length"}', PermanentError),
        (b"ok", TemporaryError),
    ],
)
def test_the_body_decides(robot: Receiver, body: bytes, error: type[Exception]) -> None:
    robot.answer = status(200, body)
    with pytest.raises(error):
        send(robot)
