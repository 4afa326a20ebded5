"""How many events two replicas of the reports API make durable on MariaDB, in batches of 100.

    python benchmarks/reports.py [--events 40000] [--senders 4] [--tenants 4]

Goal: at least 5,000 events a second. Everything runs on this machine: MariaDB (innodb_flush_log_at_trx_commit=1, data in a
temporary folder), two `route-management web`, and senders with a connection each and bodies made beforehand. All rows are
counted afterwards. The peer in the same run: bare INSERTs of such rows through mysqlclient, one connection, no HTTP.
Statements a batch are read from the server's own counters.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ready import wait_for

from tests.mariadb import MariaDB, free_port

ROOT = Path(__file__).parents[1]
GATEWAY = [sys.executable, "-c", "from exporters.route_management.cli import main; main()"]
BATCH = 100
# the senders are a few tenants at full speed: what keeps tenants apart is not what is measured
NO_LIMITS = {
    "REPORTS_REQUESTS_PER_SECOND": "1000000", "REPORTS_EVENTS_PER_SECOND": "1000000000",
    "REPORTS_BYTES_PER_SECOND": "1000000000000", "REPORTS_CONCURRENT": "1000",
}  # fmt: skip


def event(number: int) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()), "occurred_at": datetime.now(UTC).isoformat(timespec="microseconds"), "task": "power-flow",
        "failure_type": "no_convergence", "level": "error", "message": "Status = NOT Solved",
        "detail": {"number": number, "stdout": "x" * 400},
    }  # fmt: skip


def send(port: int, token: str, bodies: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with closing(connection):
        for body in bodies:
            connection.request("POST", "/api/v1/events", body, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            assert json.loads(text)["accepted"] == BATCH, text


def query(server: MariaDB, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    import MySQLdb

    with closing(MySQLdb.connect(host="127.0.0.1", port=server.port, user="root", database="userdb")) as connection:
        cursor = connection.cursor()
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall())


def statements(server: MariaDB) -> int:
    rows = query(server, "SHOW GLOBAL STATUS LIKE 'Questions'")
    return int(rows[0][1])


@contextmanager
def replicas(env: dict[str, str], count: int) -> Iterator[list[int]]:
    """Run `count` gateways and yield their ports."""
    ports, processes = [], []
    try:
        for _ in range(count):
            port, metrics = free_port(), free_port()
            listen = [f"--web.listen-address=127.0.0.1:{port}", f"--metrics.listen-address=127.0.0.1:{metrics}"]
            command = [*GATEWAY, "web", *listen, "--log.level=warning"]
            processes.append(subprocess.Popen(command, cwd=ROOT, env=env))
            wait_for(f"http://127.0.0.1:{metrics}/readyz")
            ports.append(port)
        yield ports
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def bare_inserts(server: MariaDB, count: int) -> float:
    """Return events a second of multi-row INSERTs, a transaction a batch, one connection."""
    import MySQLdb

    made = [event(n) for n in range(count)]
    rows = [
        (e["id"], e["occurred_at"][:26], "bare", e["task"], e["failure_type"], e["message"], json.dumps(e["detail"]))
        for e in made
    ]
    sql = (
        "INSERT INTO userdb_monitorevent (event_id, occurred_at, tenant, task, failure_type, message, detail, event_type)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, 'gateway')"
    )
    with closing(MySQLdb.connect(host="127.0.0.1", port=server.port, user="root", database="userdb")) as connection:
        cursor = connection.cursor()
        began = time.perf_counter()
        for start in range(0, count, BATCH):
            cursor.executemany(sql, rows[start : start + BATCH])
            connection.commit()
        return count / (time.perf_counter() - began)


def measure(server: MariaDB, ports: list[int], tokens: list[str], events: int, senders: int) -> None:
    batches = events // BATCH // senders
    bodies = [
        [json.dumps({"events": [event(n) for n in range(BATCH)]}).encode() for _ in range(batches)]
        for _ in range(senders)
    ]
    threads = [
        threading.Thread(target=send, args=(ports[n % len(ports)], tokens[n % len(tokens)], bodies[n]))
        for n in range(senders)
    ]
    asked, began = statements(server), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, asked = time.perf_counter() - began, statements(server) - asked
    sent = batches * senders * BATCH
    kept = query(server, "SELECT COUNT(*) FROM userdb_monitorevent WHERE event_type = 'gateway'")[0][0]
    assert kept == sent, f"{kept} rows of {sent} events"
    bare = bare_inserts(server, min(sent, 20_000))
    print(
        f"{sent / seconds:.0f} events/s durable (goal: 5000), {sent} rows counted; bare inserts {bare:.0f} events/s: "
        f"ratio {sent / seconds / bare:.2f}; {asked / (batches * senders):.1f} statements a batch of {BATCH}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--replicas", type=int, default=2)
    arguments = parser.parse_args()
    from cryptography.fernet import Fernet

    with tempfile.TemporaryDirectory() as name:
        server = MariaDB(Path(name), free_port())
        env = {
            **os.environ, **NO_LIMITS, "USERDB_URL": server.url, "DJANGO_SECRET_KEY": "x" * 60,
            "USERDB_SECRET_KEYS": Fernet.generate_key().decode(),
        }  # fmt: skip
        server.start()
        try:
            migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
            subprocess.run(migrate, cwd=ROOT, env=env, check=True)
            tokens = []
            for number in range(arguments.tenants):
                create = [*GATEWAY, "token", "create", f"tenant-{number}"]
                made = subprocess.run(create, cwd=ROOT, env=env, capture_output=True, check=True)
                tokens.append(made.stdout.decode().strip())
            with replicas(env, arguments.replicas) as ports:
                measure(server, ports, tokens, arguments.events, arguments.senders)
        finally:
            server.stop()
    print(
        f"conditions: {arguments.replicas} replicas, {arguments.senders} senders of {arguments.tenants} tenants, events of "
        f"{len(json.dumps(event(0)))} bytes, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
