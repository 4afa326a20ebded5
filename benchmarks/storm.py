"""Two storms: 200 groups at once, and 10,000 alerts in one body.

    python benchmarks/storm.py [--groups 200] [--alerts 10000]

Goals: all groups answered 200 within 5 s (Alertmanager opens 200 connections within 0.1 s), the body within 3 s. MariaDB with
innodb_flush_log_at_trx_commit=1, two replicas of `alert-bridge web`, one channel that wants every alert; all on this machine.
Rows are counted afterwards.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from intake import bridge, query, userdb
from webhooks import body, request, send


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--alerts", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, userdb(Path(name)) as (server, env), bridge(env) as replicas:
        send(replicas.ports, [request(body(range(10**8, 10**8 + 1)))] * 4, 2)  # the first opens connections
        groups = [request(body(range(n * 5 + 1, n * 5 + 6))) for n in range(arguments.groups)]
        began = time.perf_counter()
        sent = send(replicas.ports, groups, arguments.groups)
        took = time.perf_counter() - began
        print(
            f"{arguments.groups} groups of 5 alerts at once: the slowest answered within {max(sent.seconds):.2f} s (goal: 5), "
            f"the middle one within {sent.quantile(0.5):.2f} s, {took:.2f} s with the senders' start"
        )
        first = 10**6
        large = request(body(range(first, first + arguments.alerts)))
        for part, what in ((large, "new"), (large, "changing nothing")):
            alone = send(replicas.ports, [part], 1)
            print(
                f"{arguments.alerts} alerts in one body of {len(large) / 1e6:.1f} MB, {what}: "
                f"{alone.seconds[0]:.2f} s (goal: 3)"
            )
        kept = query(server, "SELECT COUNT(*) FROM userdb_notification")[0][0]
        assert kept == 5 * arguments.groups + arguments.alerts + 1, kept
    print(f"conditions: 2 replicas, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
