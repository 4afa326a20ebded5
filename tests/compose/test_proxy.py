"""The proxy in front of the bridge's replicas: a real nginx with the configuration of the compose file."""

import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from local import programs
from tests.alert_bridge.receivers import until
from tests.compose.files import ROOT, services
from tests.mariadb import free_port

pytestmark = pytest.mark.processes
REPLICAS = ("127.0.0.1", "127.0.0.2")


class Names(socketserver.BaseRequestHandler):
    """Answers each question for an address with both replicas, as the engine's own name server does."""

    def handle(self) -> None:
        asked, sock = self.request
        question = asked[12 : asked.index(b"\0", 12) + 5]
        answers = b"".join(b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04" + socket.inet_aton(address) for address in REPLICAS)
        sock.sendto(asked[:2] + b"\x81\x80\0\x01\0\x02\0\0\0\0" + question + answers, self.client_address)


class Replica(BaseHTTPRequestHandler):
    """Says what arrived."""

    server: "Server"

    def do_POST(self) -> None:
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((size, self.headers["Host"], self.headers["X-Forwarded-For"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    got: list[tuple[int, str, str]]


@contextmanager
def replica(address: str, port: int) -> Iterator[Server]:
    made = Server((address, port), Replica)
    made.got = []
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()


@dataclass
class Proxy:
    url: str
    port: int
    replicas: list[Server] = field(default_factory=list)

    def post(self, size: int = 2) -> int:
        return requests.post(f"{self.url}/webhooks/alertmanager", data=b"x" * size, timeout=30).status_code


def configuration(folder: Path, listen: int, bridge: int, resolver: int) -> Path:
    """Return the template filled in as the image's entrypoint does it."""
    said = services()["proxy"]["environment"] | {
        "LISTEN": f"127.0.0.1:{listen}", "BRIDGE": f"bridge-web:{bridge}", "RESOLVER": f"127.0.0.1:{resolver}"
    }  # fmt: skip
    text = (ROOT / "docker" / "nginx.conf.template").read_text()
    for name, value in said.items():
        text = text.replace(f"${{{name}}}", value)
    path = folder / "nginx.conf"
    path.write_text(text.replace("/tmp/", f"{folder}/"))
    return path


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    port, bridge = free_port(), free_port()
    names = socketserver.UDPServer(("127.0.0.1", 0), Names)
    threading.Thread(target=names.serve_forever, args=(0.05,), daemon=True).start()
    path = configuration(tmp_path, port, bridge, names.server_address[1])
    # started by root it would become nobody, who may not write here; in the image it is nobody from the start
    told = "daemon off; user root;" if os.getuid() == 0 else "daemon off;"
    command = [programs.find("nginx"), "-c", path, "-p", tmp_path, "-g", told]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})
    made = Proxy(f"http://127.0.0.1:{port}", bridge)

    def healthy() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return requests.get(f"{made.url}/healthz", timeout=5).status_code == 204
        except requests.ConnectionError:
            return False

    try:
        until(healthy, 20, "nginx is healthy")
        yield made
    finally:
        process.terminate()
        process.wait(10)
        names.shutdown()
        names.server_close()


def test_both_replicas_are_asked(proxy: Proxy) -> None:
    with replica(REPLICAS[0], proxy.port) as one, replica(REPLICAS[1], proxy.port) as two:
        assert {proxy.post() for _ in range(6)} == {200}
        assert (bool(one.got), bool(two.got)) == (True, True)


def test_a_webhook_as_large_as_the_bridge_takes_passes(proxy: Proxy) -> None:
    with replica(REPLICAS[0], proxy.port) as one, replica(REPLICAS[1], proxy.port) as two:
        assert proxy.post(32 * 1024 * 1024) == 200
        assert [size for size, *_ in one.got + two.got] == [32 * 1024 * 1024]


def test_what_is_posted_while_a_replica_is_gone_is_taken_by_the_other(proxy: Proxy) -> None:
    with replica(REPLICAS[1], proxy.port) as two:
        assert {proxy.post() for _ in range(6)} == {200}
        assert len(two.got) == 6


def test_a_replica_hears_of_the_name_and_of_who_asked(proxy: Proxy) -> None:
    with replica(REPLICAS[0], proxy.port) as one, replica(REPLICAS[1], proxy.port) as two:
        proxy.post()
        assert [seen[1:] for seen in one.got + two.got] == [(proxy.url.removeprefix("http://"), "127.0.0.1")]


def test_without_any_replica_the_answer_is_one_that_alertmanager_tries_again(proxy: Proxy) -> None:
    assert proxy.post() == 502
