"""What the spool costs against bare SQLite on the same disk, and eight writers at once.

    python benchmarks/client_spool.py [--reports 2000] [--seconds 10]

Goals: one report kept within 1.5 times one bare commit with `synchronous=FULL`; a successful run costs no disk sync;
eight writers for 10 s see no lock error and lose nothing. The reports are those of a failed run with both ends of its
output (17 kB); the bare commit inserts the same text into a table of one column.
"""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from exporters.gateway_client import events
from exporters.gateway_client.spool import Event, Spool, Started

WRITER = """
import sys, time
from exporters.gateway_client import report_gateway_exception
ends, kept, worst = time.monotonic() + float(sys.argv[1]), 0, 0.0
while time.monotonic() < ends:
    began = time.monotonic()
    assert report_gateway_exception("x", {"output": "y" * 4000}, "warning") is not None
    worst = max(worst, time.monotonic() - began)
    kept += 1
print(kept, worst)
"""


def made(number: int) -> Event:
    detail = {"number": number, "stdout": "x" * 8192, "stderr": "y" * 8192}
    return events.make(
        task="t", failure_type="timeout", level="error", message="m", detail=detail, occurred_at=time.time()
    )


def median_us(values: list[float]) -> float:
    return statistics.median(values) * 1e6


def commits(folder: Path, count: int) -> None:
    """Alternate a bare commit with a kept report, so that both meet the same disk."""
    bare = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE report (body TEXT)")
    spool = Spool(folder / "spool")
    spool.start(Started("run", "t", 0.0))
    took: dict[str, list[float]] = {"bare": [], "kept": [], "success": []}
    given = [made(number) for number in range(count)]
    for number, event in enumerate(given):
        began = time.perf_counter()
        bare.execute("INSERT INTO report VALUES (?)", (event.body,))
        took["bare"].append(time.perf_counter() - began)
        began = time.perf_counter()
        spool.keep(event)
        took["kept"].append(time.perf_counter() - began)
        began = time.perf_counter()
        spool.finish(Started(str(number), "t", 0.0), 1.0, None)
        took["success"].append(time.perf_counter() - began)
    ratio = median_us(took["kept"]) / median_us(took["bare"])
    print(f"one bare FULL commit {median_us(took['bare']):.0f} us, one report kept {median_us(took['kept']):.0f} us:")
    print(f"ratio {ratio:.2f} (goal: at most 1.5); a success counted {median_us(took['success']):.0f} us")
    assert spool.waiting() == count


def syncs(folder: Path) -> None:
    """Count the disk syncs of one successful and one failed `run`."""
    env = {**os.environ, "GATEWAY_SPOOL": str(folder / "syncs")}
    env.pop("GATEWAY_URL", None)
    log = folder / "trace"
    trace = ["strace", "-f", "-e", "trace=fsync,fdatasync,syncfs,msync,sync_file_range", "-o", str(log)]
    for command in ("true", "true", "false"):
        run = [sys.executable, "-m", "exporters.gateway_client", "run", "--", command]
        try:
            subprocess.run([*trace, *run], env=env, check=False)
        except FileNotFoundError:
            print("disk syncs: not counted, strace is not installed")
            return
        found = log.read_text().count("sync(")
    print(f"disk syncs: {found} of a failed run", end=", ")
    subprocess.run([*trace, *run[:-1], "true"], env=env, check=True)
    print(f"{log.read_text().count('sync(')} of a successful one (goal: 0)")


def writers(folder: Path, seconds: float) -> None:
    env = {**os.environ, "GATEWAY_SPOOL": str(folder / "many"), "GATEWAY_SPOOL_ROWS": "10000000"}
    env["GATEWAY_SPOOL_BYTES"] = str(1 << 40)
    started = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(seconds)], stdout=subprocess.PIPE, env=env, text=True)
        for _ in range(8)
    ]
    said = [process.communicate()[0].split() for process in started]
    assert all(process.returncode == 0 for process in started), "a writer met an error"
    kept = sum(int(count) for count, _ in said)
    waiting = Spool(folder / "many").waiting()
    worst = max(float(wait) for _, wait in said)
    print(
        f"8 writers for {seconds:g} s: {kept} kept, {waiting} there, {kept / seconds:.0f}/s, longest wait {worst:.2f} s"
    )
    assert kept == waiting


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reports", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    os.environ.pop("GATEWAY_URL", None)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", ".")) as name:
        commits(Path(name), given.reports)
        syncs(Path(name))
        writers(Path(name), given.seconds)
    load = os.getloadavg()[0]
    print(
        f"conditions: {given.reports} reports, {os.cpu_count()} cores, load {load:.1f}, SQLite {sqlite3.sqlite_version}"
    )


if __name__ == "__main__":
    main()
