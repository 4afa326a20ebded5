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
from collections.abc import Callable, Iterator
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


class Replicas(NamedTuple):
    """Two servers of one kind."""

    ports: list[int]
    pids: list[int]


class Measured(NamedTuple):
    """One run of one kind, a webhook."""

    sent: Sent
    statements: float
    cpu: float
    """Seconds of the replicas' CPU."""
    userdb_cpu: float
    """Seconds of the database server's."""

    @property
    def rate(self) -> float:
        return self.sent.rate


class Round(NamedTuple):
    """One size, one round."""

    ceiling: Measured
    ours: Measured
    unchanged: Measured


def query(server: MariaDB, sql: str, database: str = "userdb") -> list[tuple[Any, ...]]:
    import MySQLdb

    with closing(MySQLdb.connect(host="127.0.0.1", port=server.port, user="root", database=database)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())


def statements(server: MariaDB) -> int:
    """Return how many statements clients have sent, transactions' begin and end included."""
    return int(query(server, "SHOW GLOBAL STATUS LIKE 'Questions'")[0][1])


def cpu(pids: list[int]) -> float:
    """Return the seconds of CPU that processes have used: told beside rates, which suffer from whatever else is running."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(commands: list[list[str]], env: dict[str, str], ready: list[str]) -> Iterator[list[int]]:
    processes = [subprocess.Popen(command, cwd=ROOT, env=env) for command in commands]
    try:
        for url in ready:
            wait_for(url)
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


@contextmanager
def bridge(env: dict[str, str], count: int = 2) -> Iterator[Replicas]:
    """Run `count` replicas of `alert-bridge web`."""
    ports, metrics = [free_port() for _ in range(count)], [free_port() for _ in range(count)]
    commands = [
        [*BRIDGE, "web", f"--web.listen-address=127.0.0.1:{site}", f"--metrics.listen-address=127.0.0.1:{second}"]
        for site, second in zip(ports, metrics, strict=True)
    ]
    quiet = [[*command, "--log.level=" + os.environ.get("BENCHMARK_LOG", "info")] for command in commands]
    with running(quiet, env, [f"http://127.0.0.1:{port}/readyz" for port in metrics]) as pids:
        yield Replicas(ports, pids)


@contextmanager
def ceiling(server: MariaDB, count: int = 2) -> Iterator[Replicas]:
    """Run `count` replicas of the bare view."""
    env = {**os.environ, "USERDB_URL": server.url.replace("/userdb", "/ceiling")}
    server.run("CREATE DATABASE ceiling CHARACTER SET utf8mb4")
    subprocess.run([*CEILING, "make-table"], env=env, check=True)
    ports = [free_port() for _ in range(count)]
    ready = [f"http://127.0.0.1:{port}/webhooks/alertmanager" for port in ports]
    with running([[*CEILING, str(port)] for port in ports], env, ready) as pids:
        yield Replicas(ports, pids)


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


def run(server: MariaDB, replicas: Replicas, requests: list[bytes], senders: int) -> Measured:
    assert server.process is not None
    before = statements(server), cpu(replicas.pids), cpu([server.process.pid])
    sent = send(replicas.ports, requests, senders)
    after = statements(server), cpu(replicas.pids), cpu([server.process.pid])
    return Measured(sent, *((now - then) / len(requests) for now, then in zip(after, before, strict=True)))


def told(size: int, rounds: list[Round]) -> dict[str, Any]:
    def middle(of: Callable[[Round], float]) -> float:
        return statistics.median(map(of, rounds))

    def spent(of: Callable[[Round], Measured]) -> str:
        return f"{middle(lambda r: 1000 * of(r).cpu):.2f} + {middle(lambda r: 1000 * of(r).userdb_cpu):.2f}"

    shares = [r.ours.rate / r.ceiling.rate for r in rounds]
    line = {
        "size": size,
        "ceiling": size * middle(lambda r: r.ceiling.rate),
        "ours": size * middle(lambda r: r.ours.rate),
        "share": statistics.median(shares),
        "faster": middle(lambda r: r.unchanged.rate / r.ours.rate),
        "statements": min(r.ours.statements for r in rounds),
    }
    print(
        f"{size:5} alerts a webhook: {line['ours']:7.0f} of {line['ceiling']:7.0f} alerts/s, share {line['share']:.2f} "
        f"({', '.join(f'{share:.2f}' for share in shares)}); p99 {1000 * rounds[-1].ours.sent.quantile(0.99):.0f} of "
        f"{1000 * rounds[-1].ceiling.sent.quantile(0.99):.0f} ms; changing nothing {line['faster']:.1f} x faster; statements "
        f"{line['statements']:.1f}, changing nothing {min(r.unchanged.statements for r in rounds):.1f}\n"
        f"      ms of CPU a webhook, replicas + userdb: {spent(lambda r: r.ours)} of {spent(lambda r: r.ceiling)}, "
        f"changing nothing {spent(lambda r: r.unchanged)}",
        flush=True,
    )
    return line


def measure(server: MariaDB, ours: Replicas, bare: Replicas, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    first, lines = 1, []
    for size in arguments.sizes:
        count = max(arguments.senders * 3, min(800, arguments.alerts // size))
        rounds = []
        for number in range(arguments.rounds + 1):
            requests = [request(body(range(first + n * size, first + (n + 1) * size))) for n in range(count)]
            first += size * count
            made = Round(*(run(server, replicas, requests, arguments.senders) for replicas in (bare, ours, ours)))
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
