"""A soak of the way from a failed run to its row: are the rows in userdb exactly the failures that happened, once each?

Real OpenDSS cases, converging and not, run in parallel shells under `gateway-client run` while `gateway-client serve` (the
sender), `route-management web` and MariaDB are killed with -9 at random and started again. Prints one line of figures; exit 1
when a failure is missing, doubled or misnamed. Goal: 500 cases in 4 shells over 10 minutes.

`python benchmarks/client_soak.py --minutes 10 --runs 500 --shells 4` (MariaDB's binaries are needed: `make test` gets them)
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE))

import MySQLdb  # noqa: E402

from tests.mariadb import MariaDB, free_port  # noqa: E402

BIN = Path(sys.executable).parent
FEEDER = [sys.executable, str(SOURCE / "examples" / "opendss" / "feeder.py")]


class Keeper:
    """One process that is killed and started again."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command, self._environment = command, environment
        self.kills = 0
        self.start()

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self._command, env=self._environment, stdout=quiet, stderr=quiet)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Database(MariaDB):
    """The same, of MariaDB."""

    kills = 0

    def kill(self) -> None:
        self.stop(signal.SIGKILL)
        self.kills += 1

    def rows(self) -> list[tuple[str, str, str]]:
        connection = MySQLdb.connect(host="127.0.0.1", port=self.port, user="root", database="userdb")
        with connection.cursor() as cursor:
            cursor.execute("SELECT event_id, task, failure_type FROM userdb_monitorevent WHERE event_type = 'gateway'")
            return list(cursor.fetchall())


@dataclass(frozen=True)
class Chain:
    """The way from a run to its row: what is killed, and the tenant's environment."""

    database: Database
    gateway: Keeper
    sender: Keeper
    tenant: dict[str, str]

    def stop(self) -> None:
        for part in (self.sender, self.gateway, self.database):
            part.stop()


def started(folder: Path) -> Chain:
    """Start userdb, the gateway with a token for the tenant, and the tenant's sender."""
    database = Database(folder / "mariadb", free_port())
    database.folder.mkdir()
    database.start()
    base = {n: v for n, v in os.environ.items() if not n.startswith(("DJANGO_", "USERDB", "GATEWAY_"))}
    keys = {"USERDB_URL": database.url, "DJANGO_SECRET_KEY": "of-the-soak-only"}
    migrate = [sys.executable, str(SOURCE / "manage.py"), "migrate", "-v0", "--skip-checks"]
    subprocess.run(migrate, env=base | keys, check=True)
    gateway_at = f"127.0.0.1:{free_port()}"
    create = [str(BIN / "route-management"), "token", "create", "soak"]
    token = subprocess.run(create, env=base | keys, check=True, capture_output=True, text=True).stdout.strip()
    tenant = base | {
        "GATEWAY_URL": f"http://{gateway_at}",
        "GATEWAY_TOKEN": token,
        "GATEWAY_SPOOL": str(folder / "spool"),
    }
    web = [str(BIN / "route-management"), "web", f"--web.listen-address={gateway_at}"]
    gateway = Keeper([*web, f"--metrics.listen-address=127.0.0.1:{free_port()}"], base | keys)
    serve = [str(BIN / "gateway-client"), "serve", f"--web.listen-address=127.0.0.1:{free_port()}"]
    return Chain(database, gateway, Keeper(serve, tenant), tenant)


def soak(folder: Path, runs: int, shells: int, seconds: float, chance: random.Random) -> dict[str, object]:
    """Run the cases while parts of the chain are killed; return the figures once every report has arrived."""
    chain = started(folder)
    over = threading.Event()
    victims = [chain.gateway, chain.sender, chain.database]
    killer = threading.Thread(target=kill_at_random, args=(victims, chance, over))
    killer.start()
    loads = [chance.choice(("500", "1000")) for _ in range(runs)]
    pace = seconds * shells / runs

    def run(load: str) -> int:
        began = time.monotonic()
        command = [str(BIN / "gateway-client"), "run", "--task", "feeder", "--", *FEEDER, "--load-kw", load]
        code = subprocess.run(command, env=chain.tenant, capture_output=True, check=False).returncode
        over.wait(max(0.0, pace - (time.monotonic() - began)))
        return code

    with ThreadPoolExecutor(shells) as pool:
        codes = list(pool.map(run, loads))
    over.set()
    killer.join()
    began = time.monotonic()
    _until(lambda: _waiting(chain.tenant) == 0, 180)
    drained = time.monotonic() - began
    rows = chain.database.rows()
    chain.stop()
    failures = loads.count("1000")
    return {
        "runs": runs,
        "failures": failures,
        "exit_codes_right": codes == [int(load == "1000") for load in loads],
        "rows": len(rows),
        "distinct": len({row[0] for row in rows}),
        "named": dict(Counter(row[2] for row in rows)),
        "kills": {"gateway": chain.gateway.kills, "sender": chain.sender.kills, "mariadb": chain.database.kills},
        "drained_seconds": round(drained, 1),
    }


def kill_at_random(victims: list[Keeper | Database], chance: random.Random, over: threading.Event) -> None:
    """Kill one after the other and start it again after a while, until it is over."""
    while not over.wait(chance.uniform(2, 8)):
        victim = chance.choice(victims)
        victim.kill()
        over.wait(chance.uniform(0, 4))
        victim.start()


def _waiting(tenant: dict[str, str]) -> int:
    command = [str(BIN / "gateway-client"), "status", "--json"]
    said = subprocess.run(command, env=tenant, capture_output=True, text=True, check=False)
    return int(json.loads(said.stdout)["waiting"])


def _until(is_true: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > ends:
            raise SystemExit("reports still wait 3 minutes after the last kill")
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--shells", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = soak(Path(folder), given.runs, given.shells, given.minutes * 60, random.Random(given.seed))
    print(json.dumps(found))
    print(f"conditions: {len(os.sched_getaffinity(0))} cores, {given.minutes:g} min, {given.shells} shells, MariaDB")
    exact = found["exit_codes_right"] and found["rows"] == found["distinct"] == found["failures"]
    return 0 if exact and found["named"] == {"no_convergence": found["failures"]} else 1


if __name__ == "__main__":
    sys.exit(main())
