"""Webhooks as Alertmanager sends them, made beforehand, and senders that take next to no CPU. Used by intake.py, storm.py.

An alert has 15 labels and 3 annotations, as those of kubernetes-mixin do. A sender is a process with one connection that is
kept open.
"""

import json
import multiprocessing
import socket
import time
from dataclasses import dataclass
from typing import Any

TOKEN = "of-the-benchmark"  # noqa: S105


def alert(number: int, status: str = "firing") -> dict[str, Any]:
    labels = {
        "alertname": "RepeatedFailures", "tenant": f"tenant-{number % 500}", "severity": "error", "policy": "repeated_failures",
        "failure_type": "no_convergence", "task": f"power-flow-{number}", "namespace": f"tenant-{number % 500}",
        "pod": f"simulator-{number}-7c9d8", "container": "simulator", "node": f"node-{number % 40}", "job": "alert-bridge",
        "instance": "10.0.0.17:8100", "cluster": "production", "region": "cn-north-1", "prometheus": "monitoring/k8s",
    }  # fmt: skip
    annotations = {
        "summary": f"task power-flow-{number} of tenant-{number % 500} failed 5 times within 5 minutes",
        "description": "The solver did not converge in 5 runs of the last 5 minutes; the threshold is 3. " * 2,
        "runbook_url": "https://monitor.example.com/docs/runbooks/RepeatedFailures",
    }
    return {
        "status": status, "labels": labels, "annotations": annotations, "startsAt": "2026-11-24T10:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-24T10:30:00.123Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=max+by%28tenant%29%28mission_recent_events%29+%3E+3&g0.tab=1",
        "fingerprint": f"{number:016x}",
    }  # fmt: skip


def body(numbers: range, status: str = "firing") -> bytes:
    alerts = [alert(number, status) for number in numbers]
    return json.dumps(
        {
            "receiver": "alert-bridge", "status": status, "alerts": alerts, "groupLabels": {"alertname": "RepeatedFailures"},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093", "version": "4",
            "groupKey": f"{{}}:{{tenant={numbers.start}}}", "truncatedAlerts": 0,
        }
    ).encode()  # fmt: skip


def request(content: bytes) -> bytes:
    head = (
        "POST /webhooks/alertmanager HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Alertmanager/0.25.0\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def answered(connection: socket.socket) -> tuple[int, bytes]:
    """Read one answer with a Content-Length; return its status and body."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the server hung up")
        got += part
    head, _, content = got.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(content) < length:
        content += connection.recv(65536)
    return int(head.split()[1]), content


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a run: webhooks a second, and seconds each took."""

    rate: float
    seconds: list[float]

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def _sender(port: int, requests: list[bytes], begin: Any, results: Any) -> None:
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begin.wait(60)
            results.put(_exchange(connection, requests))
    except Exception as error:  # noqa: BLE001  (the parent waits for one answer of each)
        results.put(error)


def _exchange(connection: socket.socket, requests: list[bytes]) -> tuple[float, float, list[float]]:
    took, first = [], time.perf_counter()
    for content in requests:
        began = time.perf_counter()
        connection.sendall(content)
        status, text = answered(connection)
        if status != 200:
            raise ConnectionError(f"{status} {text.decode()}")
        took.append(time.perf_counter() - began)
    return first, time.perf_counter(), took


def send(ports: list[int], requests: list[bytes], senders: int) -> Sent:
    """Send all requests from `senders` processes to the replicas in turn; raise what any met, answers but 200 too."""
    context = multiprocessing.get_context("fork")
    begin, results = context.Barrier(senders), context.Queue()
    processes = [
        context.Process(target=_sender, args=(ports[n % len(ports)], requests[n::senders], begin, results))
        for n in range(senders)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    for failed in [each for each in found if isinstance(each, Exception)]:
        raise failed
    seconds = max(end for _, end, _ in found) - min(first for first, _, _ in found)
    return Sent(len(requests) / seconds, [each for _, _, took in found for each in took])
