"""A webhook looks at userdb without a lock first: what somebody else writes between that and its own transaction."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved
from userdb.models import AlertIdentity, AlertTransition, Channel, Notification, WebhookEvent
from userdb.router import alias

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@contextmanager
def uncommitted(work: Callable[[], Any], seconds: float = 20.0) -> Iterator[None]:
    """Somebody else has done `work` in a transaction that ends with the block, or earlier after so many seconds."""
    done, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(using=alias()):
            work()
            done.set()
            over.wait(seconds)
        connections[alias()].close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert done.wait(10)
    try:
        yield
    finally:
        over.set()
        holder.join()


def at_once(post: Post, *bodies: list[dict[str, Any]]) -> list[str]:
    """Send each in a thread; return what the rows say of them."""

    def send(alerts: list[dict[str, Any]]) -> None:
        try:
            assert post(*alerts).status_code == 200
        finally:
            connections[alias()].close()

    with ThreadPoolExecutor(len(bodies)) as pool:
        list(pool.map(send, bodies))
    return sorted(WebhookEvent.objects.order_by("-pk").values_list("result", flat=True)[: len(bodies)])


def test_what_changes_nothing_waits_for_nobody(vendor: str, post: Post, mail: Channel) -> None:
    if vendor == "sqlite":
        pytest.skip("has one writer")
    post(firing())

    def lock() -> None:
        AlertIdentity.objects.select_for_update().get()

    with uncommitted(lock):
        answer = post(firing())
        assert (answer.status_code, answer.json()["changes"]) == (200, 0)
        with transaction.atomic(using=alias()):  # the lock is still held
            assert not AlertIdentity.objects.select_for_update(skip_locked=True).exists()


def test_an_alert_that_somebody_else_introduces_meanwhile_is_one_alert(vendor: str, post: Post, mail: Channel) -> None:
    with uncommitted(lambda: AlertIdentity.objects.create(fingerprint="a1"), 0.3):
        assert post(firing("a1"), firing("b2")).json()["changes"] == 2
    states = AlertIdentity.objects.order_by("pk").values_list("pk", "state", "episodes", "version")
    assert list(states) == [("a1", "firing", 1, 1), ("b2", "firing", 1, 1)]
    assert Notification.objects.filter(kind="firing").count() == 2


def test_of_the_same_end_sent_twice_at_once_one_changes_something(vendor: str, post: Post, mail: Channel) -> None:
    post(firing("a1"), firing("b2"))

    def lock() -> None:
        AlertIdentity.objects.filter(pk="a1").update(version=1)

    with uncommitted(lock, 0.3):
        assert at_once(post, [resolved("a1"), resolved("b2")], [resolved("b2"), resolved("a1")]) == [
            "applied",
            "unchanged",
        ]
    assert AlertTransition.objects.filter(kind="resolved").count() == 2
    assert Notification.objects.filter(kind="resolved").count() == 2


def test_a_repeat_that_two_owe_at_once_is_owed_once(vendor: str, post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(state="delivered", created_at="2026-11-20T00:00:00Z")

    def lock() -> None:
        AlertIdentity.objects.update(version=1)

    with uncommitted(lock, 0.3):
        assert at_once(post, [firing()], [firing()]) == ["unchanged", "unchanged"]
    assert Notification.objects.filter(kind="repeat").count() == 1


def test_only_what_moves_is_locked(vendor: str, post: Post, mail: Channel) -> None:
    if vendor == "sqlite":
        pytest.skip("has one writer")
    post(firing("a1"), firing("b2"))

    def lock() -> None:
        AlertIdentity.objects.select_for_update().get(pk="a1")

    with uncommitted(lock):
        assert post(firing("a1"), resolved("b2"), firing("c3")).json()["changes"] == 2
        with transaction.atomic(using=alias()):
            free = AlertIdentity.objects.select_for_update(skip_locked=True).values_list("pk", flat=True)
            assert set(free) == {"b2", "c3"}
