"""How fast webhooks are taken, as a share of a bare "parse and insert" view, and what a webhook that changes nothing costs.

    python benchmarks/intake.py [--sizes 1 10 100 1000] [--rounds 3] [--senders 8] [--alerts 4000]

Goals: at least 60 % of the ceiling at 10 and 100 alerts a webhook, 45 % at 1, no fall at 1,000; what changes nothing at least
2 times faster than what does; at most 12 statements a webhook. MariaDB with innodb_flush_log_at_trx_commit=1, two replicas of
each side, on one machine, in the same run and in turns: ours and the ceiling (ceiling.py). One channel wants every alert, so
that each owes a message. All rows are counted afterwards.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ready import wait_for
from webhooks import TOKEN, Sent, body, request, send

from tests.mariadb import MariaDB, free_port

ROOT = Path(__file__).parents[1]
BRIDGE = [sys.executable, "-c", "from alert_bridge.cli import main; main()"]
CEILING = [sys.executable, str(ROOT / "benchmarks" / "ceiling.py")]


class Round(NamedTuple):
    """One size, one round."""

    ceiling: Sent
    ours: Sent
    unchanged: Sent
    statements: float
    statements_unchanged: float


def query(server: MariaDB, sql: str, database: str = "userdb") -> list[tuple[Any, ...]]:
    import MySQLdb

    with closing(MySQLdb.connect(host="127.0.0.1", port=server.port, user="root", database=database)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())


def statements(server: MariaDB) -> int:
    """Return how many statements clients have sent, transactions' begin and end included."""
    return int(query(server, "SHOW GLOBAL STATUS LIKE 'Questions'")[0][1])


@contextmanager
def running(commands: list[list[str]], env: dict[str, str], ready: list[str]) -> Iterator[None]:
    processes = [subprocess.Popen(command, cwd=ROOT, env=env) for command in commands]
    try:
        for url in ready:
            wait_for(url)
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


@contextmanager
def bridge(env: dict[str, str], count: int = 2) -> Iterator[list[int]]:
    """Run `count` replicas of `alert-bridge web` and yield their ports."""
    ports, metrics = [free_port() for _ in range(count)], [free_port() for _ in range(count)]
    commands = [
        [*BRIDGE, "web", f"--web.listen-address=127.0.0.1:{site}", f"--metrics.listen-address=127.0.0.1:{second}"]
        for site, second in zip(ports, metrics, strict=True)
    ]
    quiet = [[*command, "--log.level=" + os.environ.get("BENCHMARK_LOG", "info")] for command in commands]
    with running(quiet, env, [f"http://127.0.0.1:{port}/readyz" for port in metrics]):
        yield ports


@contextmanager
def ceiling(server: MariaDB, count: int = 2) -> Iterator[list[int]]:
    """Run `count` replicas of the bare view and yield their ports."""
    env = {**os.environ, "USERDB_URL": server.url.replace("/userdb", "/ceiling")}
    server.run("CREATE DATABASE ceiling CHARACTER SET utf8mb4")
    subprocess.run([*CEILING, "make-table"], env=env, check=True)
    ports = [free_port() for _ in range(count)]
    ready = [f"http://127.0.0.1:{port}/webhooks/alertmanager" for port in ports]
    with running([[*CEILING, str(port)] for port in ports], env, ready):
        yield ports


@contextmanager
def userdb(folder: Path) -> Iterator[tuple[MariaDB, dict[str, str]]]:
    """Run MariaDB with a migrated userdb and a channel that wants every alert; yield it and the bridge's environment."""
    from cryptography.fernet import Fernet

    server = MariaDB(folder, free_port())
    env = {
        **os.environ, "USERDB_URL": server.url, "DJANGO_SECRET_KEY": "x" * 60, "WEBHOOK_TOKEN": TOKEN,
        "USERDB_SECRET_KEYS": Fernet.generate_key().decode(),
    }  # fmt: skip
    server.start()
    try:
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=env, check=True)
        server.run(
            "INSERT INTO userdb.userdb_channel (name, kind, config, tenants, matchers, updated_at) "
            "VALUES ('ops', 'email', '{}', '[]', '', UTC_TIMESTAMP(6))"
        )
        yield server, env
    finally:
        server.stop()


def one_round(server: MariaDB, ours: list[int], bare: list[int], first: int, size: int, count: int, senders: int) -> Round:
    requests = [request(body(range(first + n * size, first + (n + 1) * size))) for n in range(count)]
    of_ceiling = send(bare, requests, senders)
    asked = statements(server)
    of_ours = send(ours, requests, senders)
    between = statements(server)
    unchanged = send(ours, requests, senders)
    after = statements(server)
    return Round(of_ceiling, of_ours, unchanged, (between - asked) / count, (after - between) / count)


def told(size: int, rounds: list[Round]) -> dict[str, Any]:
    shares = [r.ours.rate / r.ceiling.rate for r in rounds]
    faster = [r.unchanged.rate / r.ours.rate for r in rounds]
    line = {
        "size": size,
        "ceiling": size * statistics.median(r.ceiling.rate for r in rounds),
        "ours": size * statistics.median(r.ours.rate for r in rounds),
        "share": statistics.median(shares),
        "faster": statistics.median(faster),
        "statements": min(r.statements for r in rounds),
    }
    print(
        f"{size:5} alerts a webhook: {line['ours']:7.0f} of {line['ceiling']:7.0f} alerts/s, share {line['share']:.2f} "
        f"({', '.join(f'{share:.2f}' for share in shares)}); p99 {1000 * rounds[-1].ours.quantile(0.99):.0f} of "
        f"{1000 * rounds[-1].ceiling.quantile(0.99):.0f} ms; changing nothing {line['faster']:.1f} x faster; statements "
        f"{line['statements']:.1f}, changing nothing {min(r.statements_unchanged for r in rounds):.1f}",
        flush=True,
    )
    return line


def measure(server: MariaDB, ours: list[int], bare: list[int], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    first, lines = 1, []
    for size in arguments.sizes:
        count = max(arguments.senders * 3, min(800, arguments.alerts // size))
        rounds = []
        for number in range(arguments.rounds + 1):
            made = one_round(server, ours, bare, first, size, count, arguments.senders)
            first += size * count
            if number:  # the first warms up
                rounds.append(made)
        lines.append(told(size, rounds))
    for table in ("userdb_alert", "userdb_alertidentity", "userdb_alerttransition", "userdb_notification"):
        kept = query(server, f"SELECT COUNT(*) FROM {table}")[0][0]  # noqa: S608
        assert kept == first - 1, f"{kept} rows in {table}, {first - 1} alerts sent"
    assert query(server, "SELECT COUNT(*) FROM ceiling_ceilingalert", "ceiling")[0][0] == first - 1
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--alerts", type=int, default=20_000, help="alerts a round")
    parser.add_argument("--json", action="store_true", help="the figures as a last line")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        userdb(Path(name)) as (server, env),
        ceiling(server) as bare,
        bridge(env) as ours,
    ):
        lines = measure(server, ours, bare, arguments)
    print(
        f"conditions: 2 replicas of each, {arguments.senders} senders, {len(body(range(1)))} bytes a webhook of "
        f"one alert, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    if arguments.json:
        print(json.dumps(lines))


if __name__ == "__main__":
    main()
