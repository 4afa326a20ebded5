"""The e-mail channel against real SMTP servers: accepted, refused now or for good, encrypted, cut off at the deadline."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alert_bridge.channels import email
from alert_bridge.channels.base import DeliveryError, PermanentError, TemporaryError
from tests.alert_bridge.messages import KEY, a_message, parts
from tests.alert_bridge.receivers import Mailbox, certificate, mailbox
from tests.mariadb import free_port

MESSAGE = a_message(
    title="[FIRING] SimulationFailing (alpha): 潮流计算 does not\nconverge",
    text="Größe: 5 ≥ 3\n" + "x" * 2000 + "\n.\nend\n",
)


def values(port: int, **more: str) -> dict[str, str]:
    common = {"host": "localhost", "security": "none", "username": "", "password": "", "sender": "mm@example.org"}
    return common | {"port": str(port), "recipients": "ops@example.org, night@example.org"} | more


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox(Mailbox()) as made:
        yield made


def body(mail: Any, kind: str) -> str:
    (part,) = (part for part in mail.walk() if part.get_content_type() == kind)
    text: str = part.get_payload(decode=True).decode().replace("\r\n", "\n")
    return text


def test_a_message_is_accepted_whole_by_all_recipients(box: Mailbox) -> None:
    receipt = email.send(values(box.port), MESSAGE)
    mail: Any = box.mails[0]
    assert (receipt.status, receipt.answer) == ("250", "accepted")
    assert box.recipients == ["ops@example.org", "night@example.org"]
    assert body(mail, "text/plain") == MESSAGE.text
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Mission-Idempotency-Key"] == MESSAGE.key


def test_the_subject_is_one_line_in_any_script(box: Mailbox) -> None:
    from email.header import decode_header, make_header

    email.send(values(box.port), MESSAGE)
    subject = str(make_header(decode_header(box.mails[0]["Subject"])))
    assert subject.replace("\r\n", "") == "[FIRING] SimulationFailing (alpha): 潮流计算 does not converge"


def test_every_try_carries_the_same_message_id_and_date(box: Mailbox) -> None:
    for _ in range(2):
        email.send(values(box.port), MESSAGE)
    first, second = box.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Message-ID"].endswith("@example.org>")
    assert first["Date"] == second["Date"] == "Tue, 24 Nov 2026 10:00:00 +0000"


def test_every_try_is_the_same_to_the_byte() -> None:
    assert email.compose(values(25), MESSAGE).as_bytes() == email.compose(values(25), MESSAGE).as_bytes()


def test_later_messages_of_an_episode_answer_its_first_one(box: Mailbox) -> None:
    email.send(values(box.port), MESSAGE)
    email.send(values(box.port), a_message(key="a1.1.1764000000000.7.resolved.1", thread=KEY))
    first, end = box.mails
    assert first["In-Reply-To"] is None
    assert end["In-Reply-To"] == end["References"] == first["Message-ID"] != end["Message-ID"]


def test_a_message_of_no_episode_answers_nothing(box: Mailbox) -> None:
    email.send(values(box.port), a_message(key="test.1", thread=""))
    assert box.mails[0]["References"] is None


def test_the_html_part_says_the_same_with_links(box: Mailbox) -> None:
    email.send(values(box.port), MESSAGE)
    html = body(box.mails[0], "text/html")
    assert '<a href="http://bridge/admin/userdb/alert/1/change/">Who was told, and when</a>' in html
    for text in ("FIRING: SimulationFailing (alpha)", "潮流计算 does not converge", "after 30 iterations", "tenant"):
        assert text in html


def test_nothing_of_an_alert_or_a_tenant_becomes_html(box: Mailbox) -> None:
    odd = '<img src="http://evil/x">&'
    hostile = parts(
        heading=odd, paragraphs=(odd,), facts=((odd, odd),), labels=((odd, odd),), evidence=(odd,),
        evidence_title=odd, labels_title=odd, links=((odd, "javascript:alert(1)"), (odd, 'http://x/"onclick="x')),
    )  # fmt: skip
    email.send(values(box.port), a_message(parts=hostile))
    html = body(box.mails[0], "text/html")
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert '"onclick' not in html


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        ("451 try later", TemporaryError, "server_error"),
        ("452 full", TemporaryError, "server_error"),
        ("550 no such thing", PermanentError, "rejected"),
        ("554 spam", PermanentError, "rejected"),
    ],
)
def test_4yz_is_tried_again_and_5yz_is_refused_for_good(
    box: Mailbox, answer: str, error: type[DeliveryError], reason: str
) -> None:
    box.data = answer
    with pytest.raises(error) as caught:
        email.send(values(box.port), MESSAGE)
    assert (caught.value.reason, caught.value.status, caught.value.answer) == (reason, answer[:3], answer[4:])


def test_a_recipient_refused_beside_one_accepted_is_named_in_the_receipt(box: Mailbox) -> None:
    box.refused = {"night@example.org": "550 unknown user"}
    assert email.send(values(box.port), MESSAGE).answer == "refused for night@example.org"
    assert box.recipients == ["ops@example.org"]


@pytest.mark.parametrize(
    ("second", "error"), [("550 unknown user", PermanentError), ("450 grey-listed", TemporaryError)]
)
def test_all_recipients_refused_is_final_only_when_each_refusal_is(
    box: Mailbox, second: str, error: type[DeliveryError]
) -> None:
    box.refused = {"ops@example.org": "550 unknown user", "night@example.org": second}
    with pytest.raises(error):
        email.send(values(box.port), MESSAGE)


def test_a_refused_login_is_tried_again_because_somebody_mends_the_password(box: Mailbox) -> None:
    email.send(values(box.port, username="mm", password="s3cret"), MESSAGE)
    with pytest.raises(TemporaryError) as caught:
        email.send(values(box.port, username="mm", password="wr0ng"), MESSAGE)
    assert (caught.value.reason, caught.value.status) == ("login", "535")


def test_a_password_that_smtp_cannot_carry_is_misconfigured_and_not_repeated(box: Mailbox) -> None:
    with pytest.raises(PermanentError) as caught:
        email.send(values(box.port, username="mm", password="pässwört"), MESSAGE)
    assert caught.value.reason == "misconfigured"
    assert "pässwört" not in repr((caught.value, caught.value.__cause__))


def test_a_login_that_the_server_does_not_offer_is_misconfigured() -> None:
    with scripted(b"220 hi\r\n", b"250 plain\r\n") as port, pytest.raises(PermanentError) as caught:
        email.send(values(port, username="mm", password="s3cret"), MESSAGE)
    assert caught.value.reason == "misconfigured"


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_tls_is_spoken_with_a_server_whose_certificate_is_trusted(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = certificate()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with mailbox(Mailbox(), security, context) as box:
        email.send(values(box.port, security=security, username="mm", password="s3cret"), MESSAGE)
    assert box.encrypted == [True]


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_nothing_is_sent_to_a_server_whose_certificate_is_not_trusted(security: str) -> None:
    with mailbox(Mailbox(), security, certificate()[1]) as box, pytest.raises(TemporaryError) as caught:
        email.send(values(box.port, security=security), MESSAGE)
    assert caught.value.reason == "tls"
    assert box.mails == []


def test_starttls_is_never_left_out_because_the_server_does_not_offer_it(box: Mailbox) -> None:
    with pytest.raises(PermanentError) as caught:
        email.send(values(box.port, security="starttls"), MESSAGE)
    assert caught.value.reason == "misconfigured"
    assert box.mails == []


def test_a_refused_connection_is_tried_again() -> None:
    with pytest.raises(TemporaryError) as caught:
        email.send(values(free_port()), MESSAGE)
    assert caught.value.reason == "connection"


class scripted:
    """`with scripted(b"220 hi\\r\\n", ...) as port:` a server that says the lines, one a client's line; None: dribbles."""

    def __init__(self, *lines: bytes | None) -> None:
        self.lines, self.ended = lines, threading.Event()

    def __enter__(self) -> int:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return int(self.listener.getsockname()[1])

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rb") as lines:
            for place, line in enumerate(self.lines):
                if place:
                    lines.readline()
                if line is None:
                    self._dribble(connection)
                else:
                    connection.sendall(line)
            lines.read()

    def _dribble(self, connection: socket.socket) -> None:
        try:
            while not self.ended.wait(0.05):
                connection.sendall(b"2")
        except OSError:
            self.ended.set()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.listener.close()


@pytest.mark.parametrize("lines", [(None,), (b"220 hi\r\n", None), (b"220 hi\r\n", b"250 hi\r\n", None)])
def test_a_server_that_dribbles_is_cut_off_at_the_deadline(lines: tuple[bytes | None, ...]) -> None:
    began = time.monotonic()
    with scripted(*lines) as port, pytest.raises(TemporaryError) as caught:
        email.send(values(port), MESSAGE, deadline=0.4)
    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("greeting", [b"421 too busy\r\n", b"554 no service for you\r\n"])
def test_a_server_that_refuses_the_connection_may_take_it_later(greeting: bytes) -> None:
    with scripted(greeting) as port, pytest.raises(TemporaryError) as caught:
        email.send(values(port), MESSAGE)
    assert (caught.value.reason, caught.value.status) == ("server_error", greeting[:3].decode())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"host": " "}, "host: "),
        ({"port": "0"}, "port: "),
        ({"port": "smtp"}, "port: "),
        ({"security": "ssl"}, "security: "),
        ({"sender": "mm"}, "sender: "),
        ({"sender": "a@example.org, b@example.org"}, "sender: write one"),
        ({"sender": "mm@example.org\r\nBcc: all@example.org"}, "sender: "),
        ({"recipients": ""}, "recipients: "),
        ({"recipients": "ops@example.org, night"}, "recipients: 'night'"),
    ],
)
def test_what_is_wrong_with_the_settings_is_named(wrong: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        email.check(values(25) | wrong)
