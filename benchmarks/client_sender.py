"""How fast the sender empties a spool into a route_management of its own on MariaDB, in batches of 100.

    python benchmarks/client_sender.py [--events 20000]

Goal: at least 5,000 events a second. Everything runs on this machine: MariaDB (a data directory under a temporary folder), one
`route-management web`, and the sender. The peer in the same run: the same requests with the bodies ready and nothing deleted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from exporters.gateway_client import events
from exporters.gateway_client.sender import Gateway, Sender
from exporters.gateway_client.spool import Kept, Spool

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ready import wait_for

from tests.mariadb import MariaDB, free_port

ROOT = Path(__file__).parents[1]
MANAGE = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
GATEWAY = [sys.executable, "-c", "from exporters.route_management.cli import main; main()"]


def fill(spool: Spool, count: int) -> None:
    made = [
        events.make(
            task="power-flow", failure_type="no_convergence", level="error", message="Status = NOT Solved",
            detail={"number": number, "stdout": "x" * 400}, occurred_at=time.time(),
        )
        for number in range(count)
    ]  # fmt: skip
    spool.database.write(lambda c: [spool.add(c, None, 0.0, event) for event in made], durable=True)


def measure(folder: Path, url: str, token: str, count: int) -> None:
    os.environ.update(GATEWAY_TOKEN=token)
    gateway = Gateway(url)
    for name in ("peer", "spool"):
        fill(Spool(folder / name), count)
    ready = Spool(folder / "peer").batch(count, 1 << 40)
    began = time.perf_counter()
    for start in range(0, count, 100):
        batch: list[Kept] = ready[start : start + 100]
        assert gateway.post(batch, token).status == 200
    bare = count / (time.perf_counter() - began)
    spool = Spool(folder / "spool")
    sender = Sender(spool, gateway)
    began = time.perf_counter()
    while sender.step():
        pass
    sent = count / (time.perf_counter() - began)
    assert spool.waiting() == 0, spool.told()
    print(f"sender {sent:.0f} events/s (goal: 5000); bare requests {bare:.0f} events/s: ratio {sent / bare:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=20_000)
    count = parser.parse_args().events
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(GATEWAY_SPOOL_ROWS="1000000", GATEWAY_SPOOL_BYTES=str(1 << 40))
        server = MariaDB(folder, free_port())
        from cryptography.fernet import Fernet

        env = {
            **os.environ, "USERDB_URL": server.url, "DJANGO_SECRET_KEY": "x" * 60,
            "USERDB_SECRET_KEYS": Fernet.generate_key().decode(),
            "REPORTS_EVENTS_PER_SECOND": "1000000000", "REPORTS_BYTES_PER_SECOND": "1000000000000",
            "REPORTS_REQUESTS_PER_SECOND": "1000000",
        }  # fmt: skip
        web, metrics = free_port(), free_port()
        server.start()
        try:
            subprocess.run(MANAGE, cwd=ROOT, env=env, check=True)
            made = subprocess.run(
                [*GATEWAY, "token", "create", "alice"], cwd=ROOT, env=env, capture_output=True, check=True
            )
            listen = [f"--web.listen-address=127.0.0.1:{web}", f"--metrics.listen-address=127.0.0.1:{metrics}"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen([*GATEWAY, "web", *listen], cwd=ROOT, env=env, **quiet)  # type: ignore[call-overload]
            try:
                wait_for(f"http://127.0.0.1:{metrics}/readyz")
                measure(folder, f"http://127.0.0.1:{web}", made.stdout.decode().split()[-1], count)
            finally:
                process.terminate()
                process.wait(20)
        finally:
            server.stop()
    print(f"conditions: {count} events of about 0.7 kB, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
