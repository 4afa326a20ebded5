"""The processes that `rules_size.py` lets Prometheus scrape, in one: pages made beforehand by our own code.

    python benchmarks/rules_cast.py --port 9800 --tenants 1000 --pods 5

`/client` is what `gateway-client serve` says after some runs, none of which failed within 5 minutes, `/kube` what the pod
exporter says of every pod with its usage, `/gateway` the requests of every tenant, `/bridge` the facts of userdb; POST
`/storm` gives each tenant five types of failures.
"""

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exporters.route_management.settings")
os.environ.setdefault("DJANGO_SECRET_KEY", "x" * 50)
os.environ["USERDB_URL"] = "sqlite:////nowhere/userdb.sqlite3"  # for settings that want one; nothing is read

import django  # noqa: E402

django.setup()

import msgspec  # noqa: E402
import pods_cast  # noqa: E402
from prometheus_client import CollectorRegistry, generate_latest  # noqa: E402

from alert_bridge.tick import Facts, Tick  # noqa: E402
from exporters.gateway_client.exposition import SpoolCollector  # noqa: E402
from exporters.gateway_client.spool import Spool  # noqa: E402
from exporters.route_management import request_series  # noqa: E402
from exporters.route_management.pods import usage  # noqa: E402
from exporters.route_management.pods.decoding import Pod  # noqa: E402
from exporters.route_management.pods.render import Renderer  # noqa: E402
from runtime.build import expose_build_info  # noqa: E402
from runtime.closed_sets import EVENT_TYPES, FAILURE_TYPES, POLICIES  # noqa: E402

_THRESHOLDS_OF_THEIR_OWN = 100
_SEEN = "mission_pod_exporter_synced 1\nmission_pod_exporter_usage_up 1\n"


def names(tenants: int) -> list[str]:
    return [f"tenant-{number:04}" for number in range(tenants)]


def client() -> bytes:
    """Return the page of a client whose two tasks have each succeeded and failed."""
    registry = CollectorRegistry()
    with tempfile.TemporaryDirectory() as folder:
        for task in ("power-flow", "federation"):
            for command in ("false", "true"):
                run = [sys.executable, "-m", "exporters.gateway_client", "run", "--task", task, "--", command]
                environment = os.environ | {"GATEWAY_SPOOL": folder, "TENANT_ID": "any"}
                subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=60)
        registry.register(SpoolCollector(Spool(Path(folder))))
        expose_build_info(registry)
        lines = generate_latest(registry).splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(b"mission_recent_failures{"))


def failing(quiet: bytes) -> bytes:
    """Return the client's page with one failure of each of five types within 5 minutes."""
    lines = (f'mission_recent_failures{{failure_type="{kind}",window="5m"}} 1\n' for kind in FAILURE_TYPES[:5])
    return quiet + "".join(lines).encode()


def _pod(number: int, tenant: str, containers: int) -> Pod:
    document = pods_cast.pod(number)
    document["metadata"] |= {"namespace": tenant, "labels": {"app": "user-container", "tenant": tenant}}
    document["spec"]["containers"] = document["spec"]["containers"][:containers]
    document["status"]["containerStatuses"] = document["status"]["containerStatuses"][:containers]
    return msgspec.convert(document, Pod)


def kube(tenants: int, pods: int, containers: int) -> bytes:
    """Return the pod exporter's page, family by family, with the use of each container."""
    renderer = Renderer("tenant")
    parts: list[list[bytes]] = [[] for _ in renderer.families]
    used: dict[str, list[str]] = {usage.CPU.name: [], usage.MEMORY.name: []}
    for number in range(tenants * pods):
        pod = _pod(number, names(tenants)[number // pods], containers)
        for lines, part in zip(parts, renderer.render(pod).parts, strict=True):
            lines.append(part)
        for container in pod.spec.containers or ():
            labels = f'tenant="{pod.metadata.namespace}",namespace="{pod.metadata.namespace}",pod="{pod.metadata.name}"'
            for name, value in ((usage.CPU.name, 0.5 + number % 7 / 10), (usage.MEMORY.name, 2**30 + number * 1000)):
                used[name].append(f'{name}{{{labels},container="{container.name}"}} {value}\n')
    families = b"".join(
        family.header(openmetrics=False) + b"".join(lines)
        for family, lines in zip(renderer.families, parts, strict=True)
    )
    return families + "".join(line for lines in used.values() for line in lines).encode() + _SEEN.encode()


def gateway(tenants: int) -> bytes:
    """Return the page of a gateway through which every tenant has had requests, a few of which failed."""
    for number, tenant in enumerate(names(tenants)):
        series = request_series.series(tenant)
        for hundreds in (2, 4, 5):
            series.requests[hundreds].inc(1000 + number)
        series.seconds.observe(0.02)
        series.failures["timeout"].inc()
    return generate_latest()


def bridge(tenants: int, storm: bool) -> bytes:
    """Return what the bridge read: a few failures here and there, or three of each of five types for everybody."""
    everybody = names(tenants)
    thresholds = {(policy, "*"): 1e9 if policy == "no_success" else 1000.0 for policy in POLICIES}
    thresholds |= {("repeated_failures", name): 4.0 for name in everybody[:_THRESHOLDS_OF_THEIR_OWN]}
    thresholds["repeated_failures", "*"] = 3.0
    types = FAILURE_TYPES[:5] if storm else FAILURE_TYPES[:1]
    told = everybody if storm else everybody[::10]
    events = {
        (tenant, EVENT_TYPES[0], kind, "error", window): 5 if storm else 1
        for tenant in told
        for kind in types
        for window in ("1m", "5m", "1h")
    }
    registry = CollectorRegistry()
    tick = Tick(Facts(events, thresholds, everybody, {"mail": (0, 0.0, 0)}))
    tick.late = dict.fromkeys(everybody, 0)
    registry.register(tick)
    return generate_latest(registry) + b"mission_userdb_up 1\n"


class Pages:
    """Answers GET with the page of the path's first part, over connections that stay open."""

    def __init__(self, tenants: int, pods: int, containers: int) -> None:
        self._tenants = tenants
        self._pages = {
            "client": client(), "kube": kube(tenants, pods, containers), "gateway": gateway(tenants),
            "bridge": bridge(tenants, storm=False),
        }  # fmt: skip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                writer.write(self._answer(*head.split(" ")[:2]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, method: str, path: str) -> bytes:
        if method == "POST":
            self._pages |= {
                "bridge": bridge(self._tenants, storm=True), "client": failing(self._pages["client"]),
            }  # fmt: skip
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        body = b"".join(self._body(path.split("/")[1]))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def _body(self, name: str) -> Iterator[bytes]:
        yield self._pages[name]
        if name == "kube":
            # the memory of a few grows
            yield f"mission_pod_exporter_last_event_timestamp_seconds {time.time()}\n".encode()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=5)
    parser.add_argument("--containers", type=int, default=1)
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pages = Pages(given.tenants, given.pods, given.containers)
    server = await asyncio.start_server(pages.serve, "127.0.0.1", given.port, backlog=4096)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
