"""The relay with real destinations: what arrives and in which order, what a failing one costs the others, no secret kept."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from prometheus_client import REGISTRY, generate_latest

from alert_bridge import checks, claims
from alert_bridge.channels.base import REASONS, DeliveryError
from alert_bridge.relay import Relay, send
from runtime.logs import JsonFormatter
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import Mailbox, Receiver, mailbox, receiver, status, until
from tests.alert_bridge.words import firing, resolved
from tests.mariadb import free_port
from userdb.models import Alert, Channel, DeliveryAttempt, Notification

pytestmark = [pytest.mark.django_db(databases="__all__")]

BOTH = pytest.mark.usefixtures("vendor")
THREADS = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    yield made
    made.stop.set()
    made.run()


def to(destination: Receiver, name: str = "hook") -> Channel:
    channel = Channel(name=name, kind="webhook")
    channel.secrets = {"url": destination.url, "secret": "signing-s3cret"}
    channel.save()
    return channel


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def told(destination: Receiver) -> list[tuple[str, str]]:
    return [
        (document["fingerprint"], document["kind"]) for document in (json.loads(got.body) for got in destination.got)
    ]


@BOTH
def test_what_is_owed_arrives_in_order_and_is_delivered(post: Post, destination: Receiver, relay: Relay) -> None:
    hook = to(destination)
    post(firing("a1"), firing("b2"))
    post(resolved("a1"))
    assert relay.deliver_due(hook) == 3
    assert told(destination) == [("a1", "firing"), ("b2", "firing"), ("a1", "resolved")]
    assert set(Notification.objects.values_list("state", flat=True)) == {"delivered"}
    assert set(destination.keys()) == set(Notification.objects.values_list("key", flat=True))


def test_tries_and_the_delay_are_counted(post: Post, destination: Receiver, relay: Relay) -> None:
    hook = to(destination, "counted")
    before = metric("mission_notifications_total", channel="counted", result="delivered", reason="")
    post(firing())
    relay.deliver_due(hook)
    assert metric("mission_notifications_total", channel="counted", result="delivered", reason="") == before + 1
    assert metric("mission_notification_delay_seconds_count", channel="counted") >= 1


@THREADS
def test_every_reason_of_a_channel_is_counted_from_the_start(destination: Receiver, relay: Relay) -> None:
    to(destination, "fresh")
    relay.step()
    for reason in REASONS:
        labels = {"channel": "fresh", "result": "failed", "reason": reason}
        assert REGISTRY.get_sample_value("mission_notifications_total", labels) == 0.0


@BOTH
def test_after_a_temporary_failure_the_channel_rests_and_gives_back_what_it_held(
    post: Post, destination: Receiver, relay: Relay
) -> None:
    hook = to(destination)
    destination.answer = status(503)
    post(firing("a1"), firing("b2"), firing("c3"))
    assert relay.deliver_due(hook) == 1
    assert relay.deliver_due(hook) == 0
    rows = list(Notification.objects.order_by("id").values_list("state", "attempts", "claim"))
    assert rows == [("owed", 1, ""), ("owed", 0, ""), ("owed", 0, "")]


def test_a_permanent_refusal_of_one_message_does_not_make_the_channel_rest(
    post: Post, destination: Receiver, relay: Relay
) -> None:
    hook = to(destination)
    destination.answer = status(422, b"I know no a1")
    post(firing("a1"), firing("b2"))
    assert relay.deliver_due(hook) == 2
    assert [n.reason for n in Notification.objects.filter(state="dead")] == ["rejected", "rejected"]
    assert DeliveryAttempt.objects.latest("id").answer == "I know no a1"


@BOTH
@THREADS
def test_a_rested_channel_is_tried_again_and_delivers(post: Post, destination: Receiver, relay: Relay) -> None:
    to(destination)
    destination.answer = status(503)
    post(firing("a1"), firing("b2"))
    relay.step()
    until(lambda: DeliveryAttempt.objects.filter(outcome="temporary").count() == 1)
    destination.answer = status(200)
    until(lambda: relay.step() or Notification.objects.filter(state="delivered").count() == 2)
    # the first was asked to wait 1 to 2 s, the channel half of that: the second one overtook it
    assert told(destination) == [("a1", "firing"), ("b2", "firing"), ("a1", "firing")]


@BOTH
@THREADS
def test_a_channel_that_hangs_delays_no_other(post: Post, destination: Receiver, relay: Relay) -> None:
    let_go = threading.Event()
    with receiver(lambda request: (let_go.wait(10), status(200)(request))[1]) as hanging:
        to(hanging, "a-hanging")
        to(destination, "quick")
        post(firing())
        relay.step()
        until(lambda: len(hanging.got) == 1)
        until(lambda: len(destination.got) == 1)
        post(resolved())
        until(lambda: relay.step() or len(destination.got) == 2)
        assert len(hanging.got) == 1
        assert Notification.objects.filter(channel__name="quick", state="delivered").count() >= 1
        let_go.set()
        until(lambda: relay.step() or len(hanging.got) == 2)


@BOTH
@THREADS
def test_told_to_stop_it_finishes_what_is_under_way_and_gives_back_the_rest(
    post: Post, destination: Receiver, relay: Relay
) -> None:
    to(destination)

    def stopping(request: Any) -> None:
        relay.stop.set()
        status(200)(request)

    destination.answer = stopping
    post(firing("a1"), firing("b2"))
    relay.step()
    relay.run()
    assert list(Notification.objects.order_by("id").values_list("state", "claim")) == [("delivered", ""), ("owed", "")]


@THREADS
def test_a_round_with_nothing_due_starts_no_worker(post: Post, destination: Receiver, relay: Relay) -> None:
    to(destination)
    relay.step()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("relay_")] == []


def test_a_channel_whose_secrets_no_key_opens_is_tried_again(post: Post, destination: Receiver, relay: Relay) -> None:
    hook = to(destination)
    Channel.objects.update(secret_token="not-a-token")
    post(firing())
    relay.deliver_due(hook)
    assert Notification.objects.get().reason == "secret_key"
    assert Notification.objects.get().state == "owed"


def test_keys_are_rotated_by_putting_the_new_one_first(
    post: Post, destination: Receiver, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, old, new = to(destination), os.environ["USERDB_SECRET_KEYS"], Fernet.generate_key().decode()
    post(firing("a1"))
    monkeypatch.setenv("USERDB_SECRET_KEYS", f"{new},{old}")
    assert checks.secrets_trouble() is None
    relay.deliver_due(hook)
    assert Notification.objects.get().state == "delivered"
    hook.secrets = hook.secrets
    hook.save()
    monkeypatch.setenv("USERDB_SECRET_KEYS", new)
    assert checks.secrets_trouble() is None
    monkeypatch.setenv("USERDB_SECRET_KEYS", old)
    assert checks.secrets_trouble() == "USERDB_SECRET_KEYS opens no secrets of: hook"


def test_settings_that_cannot_be_used_are_dead_and_say_why(post: Post, mail: Channel, relay: Relay) -> None:
    Channel.objects.update(config=mail.config | {"port": "smtp"})
    post(firing())
    relay.deliver_due(mail)
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.outcome, attempt.reason) == ("permanent", "misconfigured")
    assert attempt.answer == "port: write a number from 1 to 65535"


def test_a_row_that_makes_the_bridge_fail_counts_its_tries_and_harms_no_other(
    post: Post, destination: Receiver, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    hook = to(destination)
    post(firing("a1"), firing("b2"))
    Alert.objects.filter(identity="a1").update(annotations=["written", "by", "hand"])
    relay.deliver_due(hook)
    odd = DeliveryAttempt.objects.get(notification__identity="a1")
    assert (odd.outcome, odd.reason) == ("temporary", "internal")
    assert "message.py" in odd.answer
    assert "a message could not be made or sent" in caplog.text


def everything_kept(caplog: pytest.LogCaptureFixture) -> str:
    """Return all that stays of a send: log lines with their fields, attempts, metrics."""
    lines = [JsonFormatter().format(record) for record in caplog.records]
    rows = [str(list(model.objects.values())) for model in (DeliveryAttempt, Notification)]
    return "\n".join([*lines, *rows, generate_latest(REGISTRY).decode()])


def chain(error: BaseException | None) -> str:
    """Return all texts of an exception and of what it came from."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error.args} {vars(error)}")
        error = error.__cause__
    return "\n".join(texts)


def attempt(channel: Channel) -> claims.Start:
    start = claims.start(claims.take(channel.pk)[0], "tests")
    assert start is not None
    return start


ECHOES = ["no hook at {url}", "no hook at {path}", "no hook at {query}", "signed with {secret}?"]


@pytest.mark.parametrize("code", [200, 400, 503])
@pytest.mark.parametrize("echo", ECHOES)
def test_no_secret_of_a_webhook_is_kept_though_the_receiver_repeats_it(
    post: Post, destination: Receiver, relay: Relay, caplog: pytest.LogCaptureFixture, code: int, echo: str
) -> None:
    caplog.set_level(logging.DEBUG)
    parts = {"path": "T0PS3CRET/hooks", "query": "token=qu3ry", "secret": "signing-s3cret"}
    url = f"http://127.0.0.1:{destination.server_port}/{parts['path']}?{parts['query']}"
    hook = to(destination)
    hook.secrets = {"url": url, "secret": parts["secret"]}
    hook.save()
    destination.answer = status(code, echo.format(url=url, **parts).encode())
    post(firing())
    relay.deliver_due(hook)
    assert "***" in DeliveryAttempt.objects.get().answer
    kept = everything_kept(caplog)
    assert [secret for secret in ("T0PS3CRET", "qu3ry", "signing-s3cret") if secret in kept] == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/T0PS3CRET", "http://T0PS3CRET:x@[::1/", "http://a..b/T0PS3CRET"]
)
def test_no_url_is_in_the_error_of_a_connection_that_fails(
    post: Post, destination: Receiver, relay: Relay, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    caplog.set_level(logging.DEBUG)
    hook = to(destination)
    hook.secrets = {"url": url.format(port=free_port()), "secret": "signing-s3cret"}
    hook.save()
    post(firing("a1"), firing("b2"))
    with pytest.raises(DeliveryError) as caught:
        send(attempt(hook))
    relay.deliver_due(hook)
    assert "T0PS3CRET" not in everything_kept(caplog) + chain(caught.value)


def test_no_password_is_kept_though_the_mail_server_repeats_it(
    post: Post, mail: Channel, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with mailbox(Mailbox()) as box:
        mail.config |= {"port": str(box.port), "username": "mm"}
        mail.secrets = {"password": "wr0ng-p4ss"}
        mail.save()
        post(firing("a1"), firing("b2"))
        with pytest.raises(DeliveryError) as caught:
            send(attempt(mail))
        relay.deliver_due(mail)
    assert caught.value.answer == "*** is wrong"
    # the mail server of the test writes its own log into the same process
    logs = "\n".join(line for line in everything_kept(caplog).splitlines() if '"mail.log"' not in line)
    assert "wr0ng-p4ss" not in logs + chain(caught.value)
