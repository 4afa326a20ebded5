"""The webhook channel against a real HTTP server: what counts as taken, what is tried again, how a receiver verifies it."""

import hashlib
import hmac
import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from alert_bridge.channels import webhook
from alert_bridge.channels.base import DeliveryError, PermanentError, TemporaryError
from alert_bridge.channels.http import post
from tests.alert_bridge.messages import a_message
from tests.alert_bridge.receivers import Answer, Receiver, certificate, dribble, receiver, status
from tests.mariadb import free_port

MESSAGE = a_message()
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "channels.md"


def send(destination: Receiver) -> Any:
    return webhook.send({"url": destination.url, "secret": "s3cret"}, MESSAGE)


def refusal(destination: Receiver, answer: Answer) -> DeliveryError:
    destination.answer = answer
    with pytest.raises(DeliveryError) as caught:
        send(destination)
    return caught.value


def test_a_message_arrives_as_json_under_its_idempotency_key(destination: Receiver) -> None:
    receipt = send(destination)
    got = destination.got[0]
    assert (receipt.status, receipt.answer) == ("200", "thanks")
    assert json.loads(got.body) == MESSAGE.document
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Idempotency-Key"] == MESSAGE.key


def test_the_signature_is_hmac_sha256_over_timestamp_and_body(destination: Receiver) -> None:
    send(destination)
    got = destination.got[0]
    stamp = got.headers["X-Mission-Timestamp"]
    expected = hmac.new(b"s3cret", stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-Mission-Signature"] == f"v1={expected}"
    assert abs(int(stamp) - time.time()) < 5


def test_the_documents_example_verifies_it_and_refuses_what_was_changed_or_is_old(destination: Receiver) -> None:
    send(destination)
    got = destination.got[0]
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(compile(code[1], str(DOCUMENT), "exec"), names)  # noqa: S102  (the project's own document)
    verify, headers = names["verify"], dict(got.headers.items())
    assert verify(b"s3cret", headers, got.body) is True
    assert verify(b"other", headers, got.body) is False
    assert verify(b"s3cret", headers, got.body + b" ") is False
    assert verify(b"s3cret", headers | {"X-Mission-Timestamp": "1764000000"}, got.body) is False
    assert verify(b"s3cret", {}, got.body) is False


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_every_2xx_counts_as_taken(destination: Receiver, code: int) -> None:
    destination.answer = status(code)
    assert send(destination).status == str(code)


@pytest.mark.parametrize(
    ("code", "reason"), [(408, "timeout"), (425, "rate_limited"), (429, "rate_limited"), (500, "server_error")]
)
def test_these_are_tried_again(destination: Receiver, code: int, reason: str) -> None:
    error = refusal(destination, status(code, b"not now"))
    assert isinstance(error, TemporaryError)
    assert (error.reason, error.status, error.answer, error.retry_after) == (reason, str(code), "not now", None)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 413, 422])
def test_these_are_refused_for_good(destination: Receiver, code: int) -> None:
    error = refusal(destination, status(code, b"no"))
    assert isinstance(error, PermanentError)
    assert (error.reason, error.status) == ("rejected", str(code))


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(destination: Receiver, code: int) -> None:
    error = refusal(destination, status(code, Location=destination.url + "/elsewhere"))
    assert isinstance(error, PermanentError)
    assert error.reason == "redirected"
    assert len(destination.got) == 1


def test_retry_after_is_read_as_seconds(destination: Receiver) -> None:
    assert refusal(destination, status(429, Retry_After="17")).retry_after == 17


def test_retry_after_is_read_as_a_date(destination: Receiver) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert refusal(destination, status(503, Retry_After=date)).retry_after == pytest.approx(59, abs=2)


@pytest.mark.parametrize("value", ["soon", "-5", ""])
def test_a_retry_after_that_says_nothing_is_none(destination: Receiver, value: str) -> None:
    assert refusal(destination, status(503, Retry_After=value)).retry_after is None


def cut(destination: Receiver, first: bytes) -> Any:
    """Send with a deadline of 0.4 s to a destination that says `first` and then dribbles."""
    stop = threading.Event()
    destination.answer = dribble(first, stop)
    began = time.monotonic()
    try:
        return post(destination.url, b"{}", {}, deadline=0.4)
    finally:
        stop.set()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 "])
def test_a_server_that_dribbles_before_it_says_a_status_is_cut_off_at_the_deadline(
    destination: Receiver, first: bytes
) -> None:
    with pytest.raises(TemporaryError) as caught:
        cut(destination, first)
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize("rest", [b"X-Slow: ", b"Content-Length: 9999\r\n\r\n", b"\r\n"])
def test_a_2xx_whose_headers_or_body_dribble_is_taken_and_not_sent_twice(destination: Receiver, rest: bytes) -> None:
    receipt = cut(destination, b"HTTP/1.1 200 OK\r\n" + rest)
    assert receipt.status == "200"
    assert set(receipt.answer) <= {"x"}


def test_a_body_without_end_is_read_no_further_than_a_few_kilobytes(destination: Receiver) -> None:
    def endless(request: Any) -> None:
        request.close_connection = True
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"y" * 65536)
        except OSError:
            return

    destination.answer = endless
    began = time.monotonic()
    assert post(destination.url, b"{}", {}).answer == "y" * 4096
    assert time.monotonic() - began < 5  # not cut off by the deadline of 10 s: no more was asked for


def test_a_server_that_hangs_up_without_a_word_is_tried_again(destination: Receiver) -> None:
    destination.answer = lambda request: setattr(request, "close_connection", True)
    with pytest.raises(TemporaryError) as caught:
        send(destination)
    assert caught.value.reason == "connection"


def test_a_refused_connection_is_tried_again_and_its_url_is_not_repeated() -> None:
    with pytest.raises(TemporaryError) as caught:
        post(f"http://127.0.0.1:{free_port()}/T0/s3cret", b"{}", {})
    assert caught.value.reason == "connection"
    assert "s3cret" not in repr((caught.value, caught.value.__cause__))


def test_tls_is_spoken_with_a_server_whose_certificate_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = certificate()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with receiver(tls=context) as server:
        assert server.url.startswith("https://")
        assert send(server).status == "200"


def test_nothing_is_sent_to_a_server_whose_certificate_is_not_trusted() -> None:
    with receiver(tls=certificate()[1]) as server, pytest.raises(TemporaryError) as caught:
        send(server)
    assert caught.value.reason == "tls"
    assert server.got == []


@pytest.mark.parametrize("url", ["ftp://example.org/", "example.org/x", "http://", "", "http:///path"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="url: write http"):
        webhook.check({"url": url, "secret": "x"})


@pytest.mark.parametrize("url", ["http://a..b/s3cret", "http://127.0.0.1:99999/s3cret", f"http://{'ä' * 64}.de/s3cret"])
def test_a_url_that_cannot_be_used_is_misconfigured_and_not_repeated(url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        post(url, b"{}", {})
    assert caught.value.reason == "misconfigured"
    assert "s3cret" not in repr((caught.value, caught.value.__cause__))
