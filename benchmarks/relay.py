"""How many notifications one relay and two of them send to a receiver that answers at once.

    python benchmarks/relay.py [--notifications 1000]

Everything runs on this machine: MariaDB (innodb_flush_log_at_trx_commit=1, data in a temporary folder), `alert-bridge relay`
processes, and a receiver of signed webhooks. Each notification is owed beforehand; measured is from the first message's
arrival to the last one's. All are counted afterwards, and each has arrived once.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ready import wait_for

from tests.mariadb import MariaDB, free_port

ROOT = Path(__file__).parents[1]
BRIDGE = [sys.executable, "-c", "from alert_bridge.cli import main; main()"]
TOKEN = "benchmark"  # noqa: S105  (of this run's own webhook)
_CHANNEL = (
    "from userdb.models import Channel; c = Channel(name={name!r}, kind='webhook', matchers={matchers!r}); "
    "c.secrets = {{'url': {url!r}, 'secret': 's'}}; c.save()"
)


class Bridge:
    """A bridge on a MariaDB of the run's own: its settings, its channels, its processes."""

    def __init__(self, server: MariaDB, web: bool) -> None:
        from cryptography.fernet import Fernet

        self._web, self._processes = web, list[subprocess.Popen[bytes]]()
        self.sink, self.port = free_port(), free_port()
        self.sink_url = f"http://127.0.0.1:{self.sink}/"
        self.env = {
            **os.environ, "USERDB_URL": server.url, "DJANGO_SECRET_KEY": "x" * 60, "WEBHOOK_TOKEN": TOKEN,
            "USERDB_SECRET_KEYS": Fernet.generate_key().decode(), "CHANNEL_ALLOWED_NETWORKS": "127.0.0.0/8",
        }  # fmt: skip

    def __enter__(self) -> "Bridge":
        self._manage("migrate", "--verbosity=0")
        if self._web:
            metrics = free_port()
            listen = [f"--web.listen-address=127.0.0.1:{self.port}", f"--metrics.listen-address=127.0.0.1:{metrics}"]
            self._start("web", *listen)
            wait_for(f"http://127.0.0.1:{metrics}/healthz")
        return self

    def __exit__(self, *_: object) -> None:
        self._end(self._processes)

    def _manage(self, *words: str) -> None:
        subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=self.env, check=True, capture_output=True)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*BRIDGE, *words, "--log.level=error"], cwd=ROOT, env=self.env)
        self._processes.append(process)
        return process

    @staticmethod
    def _end(processes: list[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)

    def channel(self, name: str, url: str, matchers: str = "") -> None:
        """Make a channel of signed webhooks."""
        self._manage("shell", "-c", _CHANNEL.format(name=name, url=url, matchers=matchers))

    @contextmanager
    def relays(self, count: int) -> Iterator[None]:
        """Run so many relays for the block."""
        started = []
        for _ in range(count):
            port = free_port()
            started.append(self._start("relay", f"--web.listen-address=127.0.0.1:{port}"))
            wait_for(f"http://127.0.0.1:{port}/healthz")
        try:
            yield
        finally:
            self._end(started)

    def post(self, fingerprints: list[str]) -> None:
        """Tell the bridge of new alerts in one webhook."""
        alerts = [
            {
                "status": "firing", "fingerprint": fingerprint, "startsAt": datetime.now(UTC).isoformat(),
                "endsAt": "0001-01-01T00:00:00Z", "annotations": {"summary": "it fails"},
                "labels": {"alertname": "Benchmark", "tenant": "alpha", "severity": "error"},
            }
            for fingerprint in fingerprints
        ]  # fmt: skip
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        body = json.dumps({"version": "4", "receiver": "r", "groupKey": "g", "status": "firing", "alerts": alerts})
        connection.request("POST", "/webhooks/alertmanager", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == 200, text


@contextmanager
def receiver(port: int) -> Iterator[list[tuple[float, bytes]]]:
    """Take everything at once; yield the list of (moment, body)."""
    got: list[tuple[float, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((time.perf_counter(), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def hanging() -> Iterator[str]:
    """Yield the URL of a server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", free_port()))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def measure(bridge: Bridge, relays: int, notifications: int, first: int) -> float:
    """Let notifications be owed, send them, and return how many a second arrived."""
    for start in range(0, notifications, 100):
        bridge.post([f"{first + start + n:08x}" for n in range(min(100, notifications - start))])
    with receiver(bridge.sink) as got, bridge.relays(relays):
        ends = time.perf_counter() + 300
        while len(got) < notifications and time.perf_counter() < ends:
            time.sleep(0.05)
    keys = [json.loads(body)["key"] for _, body in got]
    assert len(keys) == len(set(keys)) == notifications, f"{len(keys)} arrived, {len(set(keys))} of them once"
    return notifications / (got[-1][0] - got[0][0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--notifications", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = MariaDB(Path(name), free_port())
        server.start()
        try:
            with Bridge(server, web=True) as bridge:
                rates = {}
                bridge.channel("sink-0", bridge.sink_url)
                rates["one relay, one channel"] = measure(bridge, 1, arguments.notifications, 0)
                rates["two relays, one channel"] = measure(bridge, 2, arguments.notifications, 100_000)
        finally:
            server.stop()
    for what, rate in rates.items():
        print(f"{what}: {rate:.0f} notifications/s")
    print(f"conditions: {arguments.notifications} notifications, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
