"""A scripted API server, and a watch of it whose steps a test drives."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from exporters.route_management.pods import apiserver as client
from exporters.route_management.pods.backoff import Backoff
from exporters.route_management.pods.health import WatchHealth
from exporters.route_management.pods.intake import Intake
from exporters.route_management.pods.render import Renderer
from exporters.route_management.pods.sharding import Shard
from exporters.route_management.pods.store import Store
from exporters.route_management.pods.watch import PodWatch
from tests.exporters.route_management.pods.apiserver import ApiServer


@pytest.fixture
def server() -> Iterator[ApiServer]:
    made = ApiServer()
    yield made
    made.close()


def until(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until it is true; AssertionError after `seconds`."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "did not come true"
        time.sleep(0.005)


class Follower:
    """One watch with all that hangs on it. `step` is one step; `follow` steps in a thread until the test ends."""

    def __init__(self, server: ApiServer, folder: Path, namespace: str | None = None, read: float = 5.0) -> None:
        self.renderer = Renderer("tenant")
        self.store = Store(len(self.renderer.families), 16)
        self.now = 1000.0
        self.health = WatchHealth(namespace, lambda: self.now)
        sink = Intake(self.renderer, self.store, Shard())
        api = client.ApiServer(client.configuration(server.kubeconfig(folder)), connect=1.0, read=read)
        backoff = Backoff(jitter=lambda: 1.0)
        self.watch = PodWatch(api, namespace, sink, self.health, backoff)
        self.stop = threading.Event()
        self.pauses: list[float] = []

    def step(self) -> float:
        return self.watch.step()

    def in_background(self) -> threading.Thread:
        """Take one step in a thread; its pause goes into `pauses`."""
        thread = threading.Thread(target=lambda: self.pauses.append(self.watch.step()), daemon=True)
        thread.start()
        return thread

    def names(self) -> set[str]:
        return set(re.findall(r'kube_pod_info{[^}]*pod="([^"]*)"', self.text()))

    def text(self) -> str:
        return b"".join(part for parts in self.store.all_parts() for part in parts).decode()


@pytest.fixture
def follower(server: ApiServer, tmp_path: Path) -> Follower:
    return Follower(server, tmp_path)


@pytest.fixture
def away(settings: Any) -> Iterator[Callable[[bool], None]]:
    """`away(True)` takes userdb away (a port that nobody listens on, a file in no folder), `away(False)` brings it back."""
    connection = connections[settings.USERDB_ALIAS]
    there = {name: connection.settings_dict[name] for name in ("NAME", "PORT")}

    def move(gone: bool) -> None:
        connection.close()
        gone_to = {"PORT": 1} if connection.vendor == "mysql" else {"NAME": "file:/nowhere/userdb.sqlite3?mode=rw"}
        connection.settings_dict.update(gone_to if gone else there)

    yield move
    move(False)
