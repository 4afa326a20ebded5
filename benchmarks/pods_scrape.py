"""The pod exporter with 10,000 pods of 3 containers, against a prometheus-client collector of the same pods in the same run.

    python benchmarks/pods_scrape.py [--pods 10000]

A real API server's part is played by a process that serves pages made beforehand; the exporter's own process, its second
port and its userdb (SQLite) are real. Prints each figure with its goal, and its conditions; exit code 1 when a goal is missed.
"""

import argparse
import contextlib
import gzip
import http.client
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pods_cast
from cryptography.fernet import Fernet
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from exporters.route_management.pods import decoding  # noqa: E402
from exporters.route_management.pods.decoding import Pod  # noqa: E402
from exporters.route_management.pods.intake import Intake  # noqa: E402
from exporters.route_management.pods.render import Renderer  # noqa: E402
from exporters.route_management.pods.sharding import Shard  # noqa: E402
from exporters.route_management.pods.store import Store  # noqa: E402
from exporters.route_management.pods.tracker import Tracker  # noqa: E402

PAGE = 500
_LABELS = re.compile(rb'(\w+)="((?:[^"\\]|\\.)*)"')


class Goals:
    """Prints figures and remembers what was missed."""

    def __init__(self) -> None:
        self.missed = 0

    def say(self, what: str, value: float, unit: str, most: float) -> None:
        good = value <= most
        self.missed += not good
        print(f"{what}: {value:.4g} {unit} (goal: at most {most:g} {unit}){'' if good else '  MISSED'}", flush=True)

    def ratio(self, what: str, value: float, least: float) -> None:
        good = value >= least
        self.missed += not good
        print(f"{what}: {value:.0f} times (goal: at least {least:g} times){'' if good else '  MISSED'}", flush=True)


class Pages(BaseHTTPRequestHandler):
    """Serves the list, and one watch, which says what `events` holds."""

    protocol_version = "HTTP/1.1"
    pages: list[bytes] = []
    events: list[bytes] = []
    more = threading.Condition()

    def do_GET(self) -> None:
        if "watch=" not in self.path:
            start = re.search(r"continue=(\d+)", self.path)
            body = self.pages[int(start[1]) // PAGE if start else 0]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        while True:
            with self.more:
                while len(self.events) == sent:
                    self.more.wait()
                news, sent = self.events[sent:], len(self.events)
            for line in news:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def say(lines: list[bytes]) -> None:
    with Pages.more:
        Pages.events.extend(lines)
        Pages.more.notify_all()


def modified(number: int, restarts: int) -> bytes:
    pod = pods_cast.pod(number, restarts, 1000 + restarts)
    return json.dumps({"type": "MODIFIED", "object": pod}, separators=(",", ":")).encode() + b"\n"


def per_event(pods: int, rounds: int = 400) -> float:
    """Return the microseconds of one watch event in all: decoded, rendered, stored, its changes told."""
    renderer = Renderer("tenant")
    store = Store(len(renderer.families))
    told: list[object] = []
    tracker = Tracker(lambda event: told.append(event) or True, 300)
    intake = Intake(renderer, store, Shard(), tracker)
    for number in range(min(pods, 2000)):
        intake.apply("ADDED", msgspec.convert(pods_cast.pod(number), Pod))
    best = float("inf")
    for restarts in range(1, 16):
        lines = [modified(number % min(pods, 2000), restarts) for number in range(rounds)]
        began = time.perf_counter()
        for line in lines:
            event = decoding.event(line)
            if event.pod is not None:
                intake.apply(event.type, event.pod)
        best = min(best, (time.perf_counter() - began) / rounds)
    return best * 1e6


class Collector:
    """What most exporters do: families of prometheus-client, made at each scrape out of what is known."""

    def __init__(self, text: bytes) -> None:
        self.families: dict[str, tuple[list[str], list[tuple[list[str], float]]]] = {}
        for line in text.splitlines():
            if line.startswith(b"kube_pod_"):
                name, _, rest = line.partition(b"{")
                labels, _, value = rest.rpartition(b"} ")
                pairs = [(key.decode(), word.decode()) for key, word in _LABELS.findall(labels)]
                known = self.families.setdefault(name.decode(), ([key for key, _ in pairs], []))
                known[1].append(([word for _, word in pairs], float(value)))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, (keys, samples) in self.families.items():
            family = GaugeMetricFamily(name, "Pods.", labels=keys)
            for words, value in samples:
                family.add_metric(words, value)
            yield family


def collector_seconds(text: bytes) -> float:
    registry = CollectorRegistry()
    registry.register(Collector(text))  # type: ignore[arg-type]
    began = time.perf_counter()
    gzip.compress(generate_latest(registry), 1)
    return time.perf_counter() - began


def scrape(port: int, encoding: str = "gzip") -> tuple[float, bytes]:
    """Return the seconds of one scrape, and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    began = time.perf_counter()
    connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
    body = connection.getresponse().read()
    took = time.perf_counter() - began
    connection.close()
    return took, body


def memory(pid: int, field: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


@contextlib.contextmanager
def exporter(folder: Path, api: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start `route-management pods` on a migrated SQLite; yield the process and its port."""
    key = Fernet.generate_key().decode()
    env = os.environ | {
        "USERDB_URL": f"sqlite:///{folder / 'userdb.sqlite3'}", "USERDB_SECRET_KEYS": key, "DJANGO_SECRET_KEY": "x" * 50,
    }  # fmt: skip
    subprocess.run([sys.executable, "manage.py", "migrate"], cwd=ROOT, env=env, check=True, capture_output=True)
    (folder / "kubeconfig").write_text(
        json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{api}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        })
    )  # fmt: skip
    port = 20_000 + os.getpid() % 20_000
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from exporters.route_management.cli import main; main()", "pods",
            "--kubeconfig", str(folder / "kubeconfig"), f"--web.listen-address=127.0.0.1:{port}",
        ],
        cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process, port
    finally:
        process.terminate()
        process.communicate()


def until_log(process: subprocess.Popen[str], words: str) -> float:
    """Return when a line of the log has these words."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return time.perf_counter()
    raise SystemExit("the exporter ended")


def settled(process: subprocess.Popen[str]) -> None:
    """Wait until the exporter has nothing more to do: its CPU time stands still. A scrape would make chunks anew."""
    before, calm = -1.0, 0
    while calm < 4:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        now = float(fields[11]) + float(fields[12])
        calm = calm + 1 if now - before <= 1 else 0
        before = now
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, default=10_000)
    pods = parser.parse_args().pods
    goals = Goals()
    goals.say("one watch event, with a new restart and two events for userdb in it", per_event(pods), "us", 150)
    Pages.pages = [pods_cast.page(start, min(start + PAGE, pods), pods) for start in range(0, pods, PAGE)]
    api = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    api.daemon_threads = True
    threading.Thread(target=api.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, exporter(Path(folder), api.server_address[1]) as (process, port):
        until_log(process, "metrics and health")
        began = time.perf_counter()
        goals.say("first list to ready", until_log(process, "pods listed") - began, "s", 3)
        first, _ = scrape(port)
        print(f"first gzip scrape, all compressed for the first time: {first:.2f} s")
        unchanged = min(scrape(port)[0] for _ in range(9))
        goals.say("gzip scrape, nothing changed", unchanged * 1000, "ms", 15)
        took = []
        for restarts in range(1, 6):
            say([modified(number * (pods // 200), restarts) for number in range(200)])
            settled(process)
            took.append(scrape(port)[0])
        changed = min(took)
        goals.say("gzip scrape, 200 pods changed", changed * 1000, "ms", 150)
        body = scrape(port)[1]
        resident = memory(process.pid, "VmRSS")
        goals.say("resident after that", resident, "MB", 450)
        plain, text = scrape(port, "identity")
        print(f"resident at most, a plain scrape included: {memory(process.pid, 'VmHWM'):.0f} MB")
        print(f"plain scrape: {plain * 1000:.0f} ms, {len(text) / 1e6:.1f} MB; gzip body {len(body) / 1e6:.1f} MB")
    theirs = collector_seconds(text)
    lines = text.count(b"\nkube_pod_")
    print(f"prometheus-client's collector of the same pods, with gzip: {theirs:.2f} s")
    goals.ratio("against it, nothing changed", theirs / unchanged, 30)
    goals.ratio("against it, 200 pods changed", theirs / changed, 30)
    size = sum(map(len, Pages.pages)) / pods / 1000
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"conditions: {pods} pods x 3 containers, {size:.1f} kB of JSON each, {lines} lines, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, best of 15, 9 and 5; this script took {own:.0f} MB"
    )
    return 1 if goals.missed else 0


if __name__ == "__main__":
    sys.exit(main())
