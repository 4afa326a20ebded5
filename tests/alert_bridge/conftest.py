"""The bridge's cast: channels, and a sender of webhooks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from alert_bridge.reconcile import Reconcile
from tests.alert_bridge.alertmanagers import Lister, lister
from tests.alert_bridge.receivers import Receiver, receiver
from tests.alert_bridge.words import webhook
from userdb.models import Channel

Post = Callable[..., Any]


@pytest.fixture
def post(client: Client) -> Post:
    """`post(*alerts)` sends one webhook and returns the response; `post(body=b"...")` sends that."""

    def send(
        *alerts: dict[str, Any], body: bytes | None = None, path: str = "/webhooks/alertmanager", **headers: str
    ) -> Any:
        return client.post(
            path,
            webhook(*alerts) if body is None else body,
            content_type="application/json",
            headers={"Authorization": "Bearer webhook-token"} | headers,
        )

    return send


@pytest.fixture
def mail(vendor: str) -> Channel:
    """An e-mail channel that wants everything."""
    config = {
        "host": "127.0.0.1",
        "port": "1",
        "security": "none",
        "sender": "mm@example.org",
        "recipients": "ops@example.org",
    }
    return Channel.objects.create(name="mail", kind="email", config=config)


@pytest.fixture
def hook(vendor: str) -> Channel:
    """A webhook channel that wants critical alerts only."""
    channel = Channel(name="hook", kind="webhook", matchers='severity="critical"')
    channel.secrets = {"url": "http://127.0.0.1:1/", "secret": "s3cret"}
    channel.save()
    return channel


@pytest.fixture
def destination() -> Iterator[Receiver]:
    """Where a webhook channel's messages go: it keeps them, and answers as a test tells it to."""
    with receiver() as made:
        yield made


@pytest.fixture
def limited_hook(vendor: str, destination: Receiver) -> Channel:
    """A webhook channel to that destination which takes 5 messages a minute."""
    channel = Channel(name="hook", kind="webhook", per_minute=5)
    channel.secrets = {"url": destination.url, "secret": "s3cret"}
    channel.save()
    return channel


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lister]:
    """The one configured Alertmanager; it lists what a test tells it to."""
    with lister() as made:
        monkeypatch.setenv("ALERTMANAGER_URL", made.url)
        yield made


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch, server: Lister) -> Callable[[int], Reconcile]:
    """`rounds(2)` does two rounds of one reconciler and returns it; two are enough for it to believe what it sees."""
    monkeypatch.setenv("RECONCILE_GRACE", "0")
    monkeypatch.setenv("RECONCILE_UNSENT_AFTER", "0")
    worker = Reconcile()

    def do(number: int) -> Reconcile:
        for _ in range(number):
            worker.step()
        return worker

    return do
