"""What `gateway-client run -- true` adds to `true`: time to start and end, and memory.

    python benchmarks/client_start.py [--rounds 40]

Goals: at most 60 ms more, under 25 MB resident. The medians of alternating rounds count. It runs the installed command, with
compiled modules, as a tenant's container has it; `PYTHONDONTWRITEBYTECODE` would have each start compile them anew.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def milliseconds(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, check=True)
    return (time.perf_counter() - began) * 1000


def resident_mb(command: list[str], env: dict[str, str]) -> float:
    """Return the peak memory of the command, measured by a process of its own."""
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], env=env, stdout=subprocess.PIPE, check=True)
    return int(done.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    client = Path(sys.executable).with_name("gateway-client")
    command = [str(client)] if client.exists() else [sys.executable, "-m", "exporters.gateway_client"]
    command += ["run", "--task", "start", "--", "true"]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "GATEWAY_SPOOL": f"{folder}/spool", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        for name in ("GATEWAY_URL", "GATEWAY_TASKS", "PYTHONDONTWRITEBYTECODE"):
            env.pop(name, None)
        milliseconds(command, env)
        bare, wrapped, python = [], [], []
        for _ in range(rounds):
            bare.append(milliseconds(["true"], env))
            wrapped.append(milliseconds(command, env))
            python.append(milliseconds([sys.executable, "-c", "pass"], env))
        memory = resident_mb(command, env)
    more = statistics.median(wrapped) - statistics.median(bare)
    print(
        f"true {statistics.median(bare):.1f} ms, run -- true {statistics.median(wrapped):.1f} ms: {more:.1f} ms more (goal: 60)"
    )
    print(f"of this an empty Python program: {statistics.median(python):.1f} ms; best run: {min(wrapped):.1f} ms")
    print(f"ratio to an empty Python program: {statistics.median(wrapped) / statistics.median(python):.2f}")
    print(f"resident: {memory:.1f} MB (goal: under 25)")
    load = os.getloadavg()[0]
    print(f"median of {rounds}, {os.cpu_count()} cores, load {load:.1f}, Python {sys.version.split()[0]}, {command[0]}")


if __name__ == "__main__":
    main()
