"""From the webhook's receipt to the destination: how long a notification takes, alone and while another channel hangs.

    python benchmarks/latency.py [--rate 20] [--seconds 20]

Goal: at 20 notifications a second p99 at most 500 ms, and at most 10 % more while another channel hangs. Everything runs on
this machine: MariaDB (innodb_flush_log_at_trx_commit=1, data in a temporary folder), one `alert-bridge web`, one `alert-bridge
relay`, a sender of one alert a webhook, a receiver. Measured is from just before the webhook is sent until the receiver has
the message whole. In the second half a channel that takes every alert too never answers.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from relay import Bridge, hanging, receiver

from tests.mariadb import MariaDB, free_port


def measure(bridge: Bridge, rate: float, seconds: float, first: int) -> list[float]:
    """Send so many alerts a second and return how many milliseconds each took to arrive."""
    sent: dict[str, float] = {}
    with receiver(bridge.sink) as got:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
            fingerprint = f"{first + number:08x}"
            sent[fingerprint] = time.perf_counter()
            bridge.post([fingerprint])
        ends = time.perf_counter() + 60
        while len(got) < len(sent) and time.perf_counter() < ends:
            time.sleep(0.05)
    arrived: dict[str, float] = {}
    for moment, body in got:
        arrived.setdefault(json.loads(body)["fingerprint"], moment)
    assert set(arrived) == set(sent), f"{len(arrived)} of {len(sent)} arrived"
    return sorted((arrived[key] - sent[key]) * 1000 for key in sent)


def p99(sorted_times: list[float]) -> float:
    return sorted_times[int(len(sorted_times) * 0.99)]


def said(name: str, times: list[float]) -> None:
    print(
        f"{name}: p50 {statistics.median(times):.0f} ms, p99 {p99(times):.0f} ms, max {times[-1]:.0f} ms, n {len(times)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = MariaDB(Path(name), free_port())
        server.start()
        try:
            with Bridge(server, web=True) as bridge, hanging() as silent, bridge.relays(1):
                bridge.channel("sink", bridge.sink_url)
                measure(bridge, arguments.rate, 3, 1)  # connections, caches
                alone = measure(bridge, arguments.rate, arguments.seconds, 10_000)
                said("alone", alone)
                bridge.channel("silent", silent)
                beside = measure(bridge, arguments.rate, arguments.seconds, 20_000)
                said("while another channel hangs", beside)
        finally:
            server.stop()
    print(
        f"p99 {p99(alone):.0f} ms (goal: 500); with a hanging channel {p99(beside) / p99(alone):.2f} times (goal: 1.10)"
    )
    print(f"conditions: {arguments.rate:g} a second, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
