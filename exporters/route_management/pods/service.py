"""The pod exporter as a process: a thread a watch, one for userdb, one for usage, and the second port. Called by `cli.py`.

Without userdb it serves metrics all the same; history waits, and readiness is about pods alone.
"""

import argparse
import logging
import threading
from collections.abc import Callable, Sequence

from prometheus_client import Gauge

from exporters.route_management.pods import health
from exporters.route_management.pods.apiserver import ApiServer, Configure, configuration
from exporters.route_management.pods.backoff import Backoff
from exporters.route_management.pods.exposition import Block, Pods, application
from exporters.route_management.pods.intake import Intake
from exporters.route_management.pods.render import Renderer
from exporters.route_management.pods.sharding import Shard
from exporters.route_management.pods.store import Store
from exporters.route_management.pods.tracker import Tracker
from exporters.route_management.pods.watch import PodWatch
from runtime.flags import stop_on_signals
from runtime.port import MetricsPort
from runtime.settings import SettingsError

log = logging.getLogger(__name__)

PODS = Gauge("mission_pod_exporter_pods", "Pods that this exporter holds.")
NAMELESS = Gauge(
    "mission_pod_exporter_unknown_tenant_pods", 'Pods whose label names no tenant: their series have tenant="".'
)
SHARD = Gauge("mission_pod_exporter_shard_ordinal", "Which of the shards this is, from 0.")
SHARDS = Gauge("mission_pod_exporter_total_shards", "How many shards there are.")

_FLUSH = 5.0
"""Seconds that history has at the end."""


class PodExporter:
    """All parts, put together; `start` starts the threads, `tick` is due once a second."""

    def __init__(self, arguments: argparse.Namespace, configure: Configure) -> None:
        if arguments.shard >= arguments.total_shards:
            raise SettingsError(f"--shard {arguments.shard} is not below --total-shards {arguments.total_shards}")
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._final: threading.Thread | None = None
        renderer = Renderer(arguments.tenant_label, arguments.pod_label, arguments.metric_denylist)
        self.store = Store(len(renderer.families))
        namespaces: Sequence[str | None] = list(dict.fromkeys(arguments.namespace or [])) or [None]
        shard = Shard(arguments.shard, arguments.total_shards)
        self._tracker = None if arguments.no_history else self._history(arguments.not_ready_after)
        self.watches = [
            PodWatch(
                ApiServer(configure),
                namespace,
                Intake(renderer, self.store, shard, self._tracker),
                health.WatchHealth(namespace),
            )
            for namespace in namespaces
        ]
        for watch in self.watches:
            self._threads.append(_thread(f"watch-{watch.health.namespace or 'all'}", watch.run, self._stop))
        blocks: list[Block] = [Pods(self.store, renderer.families)]
        if arguments.usage:
            blocks.append(self._usage(ApiServer(configure), namespaces, arguments))
        self.application = application(blocks)
        SHARD.set(shard.ordinal)
        SHARDS.set(shard.total)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def tick(self) -> None:
        """Tell what time alone changes."""
        if self._tracker is not None:
            self._tracker.tick()
        PODS.set(len(self.store))
        NAMELESS.set(self.store.without_tenant)
        health.SYNCED.set(all(watch.health.synced for watch in self.watches))

    def trouble(self) -> str | None:
        """Return None when every watch is well, else one sentence: the readiness check."""
        return next((said for watch in self.watches if (said := watch.health.trouble())), None)

    def stop(self) -> None:
        """End; what waits for userdb is tried once more. Watches end with the process: they may wait for a word."""
        self._stop.set()
        if self._final is not None and self._final.is_alive():
            self._final.join(_FLUSH)

    def list_again(self) -> None:
        for watch in self.watches:
            watch.list_again()

    def _history(self, not_ready_after: float) -> Tracker:
        from exporters.route_management.pods.history import History  # Django's models: not before its setup
        from userdb.transactions import UserdbAway

        history = History(self.list_again)
        tracker = Tracker(history.offer, not_ready_after)

        def run(stop: threading.Event) -> None:
            backoff = Backoff()
            while not stop.is_set():
                try:
                    open_ = history.told_as_not_ready()
                except UserdbAway as error:
                    log.warning("userdb is away: events of containers wait", extra={"error": str(error)})
                    stop.wait(backoff.failed())
                    continue
                tracker.recall(open_)
                if open_ and len(self.store):
                    self.list_again()
                break
            history.run(stop)

        self._final = _thread("history", run, self._stop)
        self._threads.append(self._final)
        return tracker

    def _usage(self, server: ApiServer, namespaces: Sequence[str | None], arguments: argparse.Namespace) -> Block:
        from exporters.route_management.pods.usage import Usage

        keep = None
        if not arguments.no_history:
            from exporters.route_management.pods.usage_rows import UsageRows

            keep = UsageRows().keep
        usage = Usage(server, namespaces, self.store, keep or (lambda samples: None))
        self._threads.append(_thread("usage", lambda stop: usage.run(stop, arguments.usage_interval), self._stop))
        return usage


def _thread(name: str, run: Callable[[threading.Event], None], stop: threading.Event) -> threading.Thread:
    return threading.Thread(target=run, args=(stop,), name=name, daemon=True)


def serve(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT. Raises SettingsError, OSError for an address in use."""
    exporter = PodExporter(arguments, configuration(arguments.kubeconfig))
    port = MetricsPort("route-management pods", arguments.web_listen_address, {"pods": exporter.trouble})
    port.application = exporter.application
    stop = stop_on_signals()
    exporter.start()
    port.start()
    while not stop.wait(1.0):
        exporter.tick()
    exporter.stop()
    log.info("stopped")
    return 0
