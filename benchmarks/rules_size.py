"""What all rules cost a real Prometheus: 1,000 tenants with 5 pods each, quiet, then with 5,000 alerts firing.

    python benchmarks/rules_size.py [--tenants 1000] [--pods 5] [--containers 1] [--warm 75] [--measure 120] [--top 10]

Prometheus runs on the shipped configuration and rules, with intervals of 15 s and every pod a target of its own; one process
(`rules_cast.py`) answers all scrapes with what our programs say. First it only scrapes, then the rules are loaded: the
difference in CPU is theirs. The past that their windows look at is written beside it (`rules_history.py`), so that windows of
an hour cost what they will. Goal, quiet: the evaluations of all groups take at most 20 % of an interval, and none is missed.
The default run takes ten minutes. Exit code 1 when the goal is missed.
"""

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import rules_history  # noqa: E402
import yaml  # noqa: E402
from ready import wait_for  # noqa: E402

from local.programs import find  # noqa: E402
from tests.mariadb import free_port  # noqa: E402
from tests.prometheus.rule_files import CONFIGURATION, document  # noqa: E402

INTERVAL = 15
GOAL = 0.20
STORM = 120
"""Seconds within which all alerts of the storm fire, or are counted as they are."""
_SAMPLE = re.compile(r'^(\w+)(?:\{(?:.*?rule_group="[^"]*;([^"]*)")?.*?\})? (\S+)$', re.MULTILINE)


class Reading(NamedTuple):
    """What Prometheus says of itself."""

    at: float
    cpu: float
    resident: float
    series: float
    missed: float
    seconds: dict[str, float]
    """Of the last evaluation, by group."""
    intervals: dict[str, float]


def get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


def read(port: int) -> Reading:
    samples: dict[str, dict[str, float]] = defaultdict(dict)
    for name, group, value in _SAMPLE.findall(get(port, "/metrics")):
        samples[name][group] = float(value)
    return Reading(
        time.monotonic(),
        samples["process_cpu_seconds_total"][""],
        samples["process_resident_memory_bytes"][""],
        samples["prometheus_tsdb_head_series"][""],
        sum(samples["prometheus_rule_group_iterations_missed_total"].values()),
        samples["prometheus_rule_group_last_duration_seconds"],
        samples["prometheus_rule_group_interval_seconds"],
    )


def firing(port: int) -> int:
    body = json.loads(get(port, "/api/v1/query?query=count(ALERTS%7Balertstate%3D%22firing%22%7D)"))
    found = body["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


def costliest(port: int, most: int) -> None:
    """Print the rules that take most of an interval, by their last evaluation."""
    groups = json.loads(get(port, "/api/v1/rules"))["data"]["groups"]
    rules = [
        (rule["evaluationTime"] / group["interval"], rule["evaluationTime"], f"{group['name']} {rule['name']}")
        for group in groups
        for rule in group["rules"]
    ]
    for share, seconds, name in sorted(rules, reverse=True)[:most]:
        print(f"    {share:6.2%} {seconds:.3f} s {name}")


def fill(port: int, folder: Path) -> None:
    """Give Prometheus the past of its windows, and wait until it has taken it up, which it does once a minute."""
    began = float(re.findall(r"^process_start_time_seconds (\S+)$", get(port, "/metrics"), re.MULTILINE)[0])
    written = rules_history.write(port, began, INTERVAL, folder)
    ends = time.monotonic() + 150
    while f"\nprometheus_tsdb_blocks_loaded {written}\n" not in get(port, "/metrics"):
        if time.monotonic() > ends:
            raise SystemExit("Prometheus did not take up the past of its windows")
        time.sleep(5)


def watched(port: int, seconds: float) -> list[Reading]:
    """Return a reading an interval, the first one at once."""
    readings = [read(port)]
    for _ in range(max(2, round(seconds / INTERVAL))):
        time.sleep(INTERVAL)
        readings.append(read(port))
    return readings


def cpu_share(readings: list[Reading]) -> float:
    """Return the cores in use."""
    return (readings[-1].cpu - readings[0].cpu) / (readings[-1].at - readings[0].at)


def targets(folder: Path, address: str, given: argparse.Namespace) -> None:
    def write(job: str, groups: list[dict[str, Any]]) -> None:
        (folder / "targets" / f"{job}.json").write_text(json.dumps(groups))

    (folder / "targets").mkdir()
    clients = [
        {"tenant": f"tenant-{number // given.pods:04}", "instance": f"pod-{number}", "__metrics_path__": f"/client/{number}"}
        for number in range(given.tenants * given.pods)
    ]  # fmt: skip
    write("gateway-client", [{"targets": [address], "labels": labels} for labels in clients])
    for job, page in (("kube-state-metrics", "kube"), ("route-management", "gateway"), ("alert-bridge", "bridge")):
        write(job, [{"targets": [address], "labels": {"instance": page, "__metrics_path__": f"/{page}"}}])


def configure(folder: Path, rules: bool) -> Path:
    configuration = document(CONFIGURATION)
    patterns = [str(CONFIGURATION.parent / pattern) for pattern in configuration["rule_files"]]
    configuration["rule_files"] = patterns if rules else []
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    return path


@contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def say(title: str, readings: list[Reading], scraping: float, alerts: int) -> float:
    """Print what was measured; return the share of an interval that the evaluations of all groups take."""
    last = readings[-1]
    print(
        f"\n{title}: {alerts} alerts firing, {last.series:.0f} series in the head, {last.resident / 1e6:.0f} MB resident"
    )
    share = 0.0
    for group, interval in sorted(last.intervals.items()):
        took = [reading.seconds[group] for reading in readings if group in reading.seconds]
        share += mean(took) / interval
        print(f"  {group:12} {mean(took):.3f} s (at most {max(took):.3f}) every {interval:.0f} s")
    cores = cpu_share(readings) - scraping
    print(
        f"  all groups: {share:.1%} of an interval by the clock; {cores:.3f} of a core beyond scraping ({scraping:.3f})"
    )
    print(f"  evaluations missed: {last.missed - readings[0].missed:.0f}")
    return share


def measure(
    given: argparse.Namespace, prometheus: subprocess.Popen[bytes], port: int, pages: int, folder: Path
) -> bool:
    """Return whether the goal was met."""
    time.sleep(given.settle)
    scraping = cpu_share(watched(port, given.measure / 2))
    configure(folder, rules=True)
    prometheus.send_signal(signal.SIGHUP)
    time.sleep(given.warm)
    fill(port, folder)
    time.sleep(4 * INTERVAL)  # until the groups of a minute have looked at it
    quiet = watched(port, given.measure)
    share = say("quiet", quiet, scraping, firing(port))
    costliest(port, given.top)
    missed = quiet[-1].missed - quiet[0].missed
    good = share <= GOAL and missed == 0
    print(f"  goal: at most {GOAL:.0%}, none missed{'' if good else '  MISSED'}", flush=True)
    connection = http.client.HTTPConnection("127.0.0.1", pages, timeout=60)
    connection.request("POST", "/storm")
    connection.getresponse().read()
    connection.close()
    ends = time.monotonic() + STORM
    while firing(port) < given.tenants * 5 and time.monotonic() < ends:
        time.sleep(INTERVAL)
    say("storm", watched(port, given.measure), scraping, firing(port))
    costliest(port, given.top)
    return good


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=5)
    parser.add_argument("--containers", type=int, default=1)
    parser.add_argument(
        "--settle", type=float, default=60, help="seconds of scraping alone, before anything is measured"
    )
    parser.add_argument("--warm", type=float, default=75, help="seconds of rules before their past is filled in")
    parser.add_argument("--measure", type=float, default=120)
    parser.add_argument("--top", type=int, default=10, help="how many of the costliest rules are named")
    given = parser.parse_args()
    pages, port = free_port(), free_port()
    cast = [sys.executable, str(ROOT / "benchmarks" / "rules_cast.py"), f"--port={pages}"]
    cast += [f"--{name}={getattr(given, name)}" for name in ("tenants", "pods", "containers")]
    with tempfile.TemporaryDirectory() as name, started(cast, Path(name) / "cast.log") as scraped:
        folder = Path(name)
        if scraped.stdout is None or scraped.stdout.readline() != b"ready\n":
            raise SystemExit((folder / "cast.log").read_text())
        targets(folder, f"127.0.0.1:{pages}", given)
        command = [
            str(find("prometheus")), f"--config.file={configure(folder, rules=False)}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]  # fmt: skip
        with started(command, folder / "log") as prometheus:
            wait_for(f"http://127.0.0.1:{port}/-/ready")
            good = measure(given, prometheus, port, pages, folder)
        sys.stderr.write((folder / "log").read_text()[-2000:])
    print(
        f"conditions: {given.tenants} tenants x {given.pods} pods x {given.containers} containers, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}, rules for {given.warm:.0f} s before, means of {given.measure:.0f} s"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
