"""The local inbox: real SMTP and HTTP in, a page out; signatures are checked, messages outlive the process."""

import hashlib
import hmac
import json
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import requests
from aiosmtpd.controller import Controller

from local.inbox import Box, Mailbox, Pages
from tests.mariadb import free_port


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture
def pages(box: Box) -> Iterator[str]:
    server = Pages(box, "s3cret", "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def smtp(box: Box) -> Iterator[int]:
    port = free_port()
    server: Any = Controller(Mailbox(box), "127.0.0.1", port)
    server.start()
    yield port
    server.stop()


def post(pages: str, document: object, secret: str) -> int:
    body = json.dumps(document).encode()
    signature = "v1=" + hmac.new(secret.encode(), b"7." + body, hashlib.sha256).hexdigest()
    headers = {"X-Mission-Timestamp": "7", "X-Mission-Signature": signature, "Idempotency-Key": "k1"}
    return requests.post(f"{pages}/webhook", body, headers=headers, timeout=5).status_code


def test_an_email_is_shown_with_its_subject_and_text(smtp: int, pages: str) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "[FIRING] <b>仿真</b>", "a@example.org", "b@example.org"
    mail.set_content("the simulation fails")
    with smtplib.SMTP("127.0.0.1", smtp) as server:
        server.send_message(mail)
    assert "[FIRING] &lt;b&gt;仿真&lt;/b&gt;" in requests.get(pages, timeout=5).text
    assert "the simulation fails" in requests.get(f"{pages}/messages/1", timeout=5).text


@pytest.mark.parametrize(("secret", "signature"), [("s3cret", "good"), ("guessed", "bad")])
def test_a_webhooks_signature_is_checked(pages: str, secret: str, signature: str) -> None:
    assert post(pages, {"title": "[FIRING] x"}, secret) == 200
    (letter,) = requests.get(f"{pages}/messages", timeout=5).json()
    assert (letter["way"], letter["key"], letter["signature"]) == ("webhook", "k1", signature)


@pytest.mark.parametrize("document", [[], {"no": "title"}, 7])
def test_what_is_no_message_is_refused(pages: str, document: object) -> None:
    assert post(pages, document, "s3cret") == 400


def test_an_empty_inbox_says_so(pages: str) -> None:
    assert "Nothing arrived yet" in requests.get(pages, timeout=5).text


def test_messages_outlive_the_process(box: Box, tmp_path: Path) -> None:
    box.keep("e-mail", "first", "k1", "text")
    later = Box(tmp_path)
    later.keep("e-mail", "second", "k2", "text")
    assert [letter.title for letter in later.newest()] == ["second", "first"]
