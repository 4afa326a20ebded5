"""A day of 1,000 pods in minutes: do exactly the expected transitions stand in userdb?

    python benchmarks/pods_day.py [--pods 1000] [--changes 20000] [--seed 1]

Real: two `route-management pods`, a MariaDB of the script's own. Scripted: the API server. Pods crash, run out of memory,
are evicted, can't be scheduled or pulled, are not ready and ready again, are replaced. Meanwhile the exporters are killed in
turn (kill -9), the API server cuts its watches, refuses and forgets its history, userdb is killed and comes back. Two things
are not asked for, since nobody could do them: that a server's history is forgotten before anybody heard it, and that an
exporter dies with what it alone has heard. Prints the counts; exit code 1 when a transition is missing or there twice.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.exporters.route_management.pods.apiserver import ApiServer  # noqa: E402
from tests.exporters.route_management.pods.cast import condition, ended, pod, running, status, waiting  # noqa: E402
from tests.mariadb import MariaDB, free_port, program  # noqa: E402

DAY = 86_400


def moment(second: float) -> str:
    """Return a second of the day as the API server writes it."""
    at = int(second) % DAY
    return f"2026-03-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z"


class Cluster:
    """Makes pods live, and notes what must be found in userdb: (pod's uid, reason)."""

    def __init__(self, server: ApiServer, pods: int, changes: int, seed: int) -> None:
        self.server, self.chance = server, random.Random(seed)
        self.expected: Counter[tuple[str, str]] = Counter()
        self.done, self.changes = 0, changes
        self.runs: dict[str, int] = {}
        self.uids: dict[str, str] = {}
        for number in range(pods):
            self._new(f"sim-{number}")

    @property
    def now(self) -> float:
        return 60 + (DAY - 7200) * self.done / self.changes

    def step(self) -> None:
        """Let something happen to one pod."""
        name = self.chance.choice(list(self.uids))
        fates = (self._crash, self._crash, self._crash, self._unready, self._evict, self._replace, self._pull)
        self.chance.choice(fates)(name)

    def _put(self, name: str, said: dict[str, Any], **parts: Any) -> None:
        self.server.put(pod(name, uid=self.uids[name], status=said, **parts))
        self.done += 1

    def _expect(self, name: str, *reasons: str) -> None:
        self.expected.update((self.uids[name], reason) for reason in reasons)

    def _new(self, name: str) -> None:
        self.uids[name], self.runs[name] = str(uuid.UUID(int=self.chance.getrandbits(128))), 0
        if self.chance.random() < 0.2:
            refused = condition("PodScheduled", "False", moment(self.now), reason="Unschedulable", message="0/3 nodes")
            self._put(name, {"phase": "Pending", "conditions": [refused], "containerStatuses": []})
            self._expect(name, "Unschedulable")
        self._put(name, {"containerStatuses": [status(state=running(moment(self.now)))]})

    def _crash(self, name: str) -> None:
        reason, code = self.chance.choice([("OOMKilled", 137), ("Error", 1), ("Error", 139)])
        run, at = self.runs[name], moment(self.now)
        last = ended(reason, code, at, f"{self.uids[name]}-{run}")
        self._put(name, {"containerStatuses": [status(state=last, restartCount=run)]})
        self._expect(name, reason)
        if self.chance.random() < 0.7:
            self._put(
                name, {"containerStatuses": [status(state=waiting("CrashLoopBackOff"), last=last, restartCount=run)]}
            )
            self._expect(name, "CrashLoopBackOff")
        again = status(state=running(moment(self.now)), last=last, restartCount=run + 1)
        self._put(name, {"containerStatuses": [again]})
        self._expect(name, "Restarted")
        self.runs[name] += 1

    def _unready(self, name: str) -> None:
        since, until = self.now, self.now + self.chance.choice([30, 400, 900])
        run = status(restartCount=self.runs[name])
        for said, at in (("False", since), ("True", until)):
            conditions = [condition("PodScheduled"), condition("Ready", said, moment(at))]
            self._put(name, {"conditions": conditions, "containerStatuses": [run]})
        # the clock of the exporters is later than this day: a pod that is not ready is so for too long at once
        self._expect(name, "NotReady", "ReadyAgain")

    def _evict(self, name: str) -> None:
        self._put(name, {"phase": "Failed", "reason": "Evicted", "message": "low on memory", "containerStatuses": []})
        self._expect(name, "Evicted")
        self._replace(name)

    def _replace(self, name: str) -> None:
        self.server.delete(name)
        self._new(name)

    def _pull(self, name: str) -> None:
        self.server.delete(name)
        self._new(name)
        for reason in ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
            self._put(name, {"phase": "Pending", "containerStatuses": [status(state=waiting(reason))]})
        self._expect(name, "ErrImagePull", "ImagePullBackOff")
        self._put(name, {"containerStatuses": [status(state=running(moment(self.now)))]})


class Exporter:
    """One `route-management pods`."""

    def __init__(self, folder: Path, server: ApiServer, env: dict[str, str]) -> None:
        self.port = free_port()
        self.command = [
            sys.executable, "-c", "from exporters.route_management.cli import main; main()", "pods", "--log.level=error",
            "--kubeconfig", str(server.kubeconfig(folder)), f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        self.env, self.deaths = env, -1
        self.start()

    def start(self) -> None:
        self.deaths += 1
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=self.env)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def metric(self, name: str) -> float:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
                found = [line for line in answer.read().decode().splitlines() if line.startswith(f"{name} ")]
        except OSError:
            return -1
        return float(found[0].split()[1]) if found else -1

    def calm(self) -> bool:
        """Has it listed, and does nothing wait for userdb?"""
        queue = self.metric("mission_pod_exporter_history_queue_events")
        return self.metric("mission_pod_exporter_synced") == 1 and queue == 0


def settle(exporters: list[Exporter], seconds: float = 120) -> None:
    ends, calm = time.monotonic() + seconds, 0
    while calm < 4:
        calm = calm + 1 if all(exporter.calm() for exporter in exporters) else 0
        if time.monotonic() > ends:
            raise SystemExit("the exporters did not settle")
        time.sleep(0.3)


def kept(database: MariaDB) -> Counter[tuple[str, str]]:
    """Return what userdb holds."""
    sql = (
        "SELECT JSON_VALUE(detail, '$.uid'), JSON_VALUE(detail, '$.reason'), COUNT(*) FROM userdb.userdb_monitorevent"
        " WHERE event_type = 'container' GROUP BY 1, 2"
    )
    client = [
        program("mariadb"),
        "--no-defaults",
        "--user=root",
        f"--socket={database.folder / 's'}",
        "-N",
        "-B",
        "-e",
        sql,
    ]
    said = subprocess.run(client, check=True, capture_output=True, text=True).stdout
    return Counter(
        {(uid, reason): int(count) for uid, reason, count in (line.split("\t") for line in said.splitlines())}
    )


EVENTS = {"exporter": 0.11, "watches cut": 0.05, "userdb": 0.31, "refusals": 0.13, "history forgotten": 0.24}
"""What goes wrong, once in which share of the day."""


class Trouble:
    """What goes wrong while the day passes, each at its time."""

    def __init__(self, cluster: Cluster, exporters: list[Exporter], database: MariaDB) -> None:
        self._server, self._exporters, self._database = cluster.server, exporters, database
        self._due = dict(EVENTS)
        self._back_at = 0.0
        """When userdb comes back, as a share of the day; 0 while it is there."""
        self.counts: Counter[str] = Counter()

    def until(self, day: float) -> None:
        """Let what is due at this share of the day go wrong."""
        if day > self._back_at:
            self.bring_back()
        for name, every in EVENTS.items():
            if day >= self._due[name]:
                self._due[name] += every
                self.counts[name] += 1
                self._happen(name, day)

    def bring_back(self) -> None:
        """Start userdb where it is away."""
        if self._back_at:
            self._database.start()
            self._back_at = 0.0

    def _happen(self, name: str, day: float) -> None:
        if name == "exporter":
            exporter = self._exporters[self.counts[name] % 2]
            exporter.kill()
            exporter.start()
            # what the other one alone has heard must be in userdb before its turn comes
            self.bring_back()
            settle(self._exporters)
        elif name == "watches cut":
            self._server.end_watches()
        elif name == "userdb":
            self._database.stop(signal.SIGKILL)
            self._back_at = day + 0.04
        elif name == "refusals":
            self._server.refuse("watch", 503, retry_after="1", times=2)
            self._server.refuse("list", 429, retry_after="1")
            self._server.end_watches()
        elif not self._back_at:
            settle(self._exporters)  # what a server forgets before anybody heard it, nobody can tell
            self._server.compact()
            self._server.end_watches()


def live(cluster: Cluster, exporters: list[Exporter], database: MariaDB) -> dict[str, int]:
    """Let the day pass; return how often what went wrong."""
    trouble = Trouble(cluster, exporters, database)
    while cluster.done < cluster.changes:
        cluster.step()
        if cluster.done % 25 < 3:
            time.sleep(0.01)
        trouble.until(cluster.done / cluster.changes)
    trouble.bring_back()
    return dict(trouble.counts)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    server = ApiServer()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = MariaDB(folder, free_port())
        env = os.environ | {
            "USERDB_URL": database.url,
            "USERDB_SECRET_KEYS": Fernet.generate_key().decode(),
            "DJANGO_SECRET_KEY": "x" * 50,
        }
        exporters: list[Exporter] = []
        try:
            database.start()
            subprocess.run([sys.executable, "manage.py", "migrate"], cwd=ROOT, env=env, check=True, capture_output=True)
            exporters += [Exporter(folder, server, env) for _ in range(2)]
            settle(exporters)
            began = time.monotonic()
            cluster = Cluster(server, given.pods, given.changes, given.seed)
            went_wrong = live(cluster, exporters, database)
            settle(exporters)
            took = time.monotonic() - began
            found = kept(database)
        finally:
            for exporter in exporters:
                exporter.kill()
            database.stop()
            server.close()
    missing, doubled = cluster.expected - found, found - cluster.expected
    print(f"expected {cluster.expected.total()} transitions, found {found.total()}")
    print(f"missing {missing.total()} {missing.most_common(5)}, too many {doubled.total()} {doubled.most_common(5)}")
    print(f"went wrong meanwhile: {went_wrong}; exporters killed {[exporter.deaths for exporter in exporters]} times")
    print(
        f"conditions: {given.pods} pods, {cluster.done} changes of 22 hours in {took:.0f} s, seed {given.seed}, 2 exporters,"
        f" MariaDB, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    return 1 if missing or doubled else 0


if __name__ == "__main__":
    sys.exit(main())
