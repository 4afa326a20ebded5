"""Output through `gateway-client run` against the same output through a bare pipe.

    python benchmarks/client_output.py [--megabytes 2000] [--rounds 5]

Prints the ratio of the throughputs (goal: at least 0.8) and its conditions. The best round of each counts: what else the
machine does only ever slows one down.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLIENT = [sys.executable, "-m", "exporters.gateway_client", "run", "--task", "output", "--"]


def seconds(command: list[str], env: dict[str, str]) -> float:
    """Return how long the command takes with its output read by `cat`."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as producer:
        subprocess.run(["cat"], stdin=producer.stdout, stdout=subprocess.DEVNULL, check=True)
    assert producer.returncode == 0
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    # zeros cost their source next to nothing: a core each for source and reader, and none is left for whoever stands between
    # them. A simulator makes its lines, as seq does
    sources = {
        "made lines": ["seq", "1", str(given.megabytes * 100_000)],
        "64 kB writes": ["head", "-c", f"{given.megabytes}M", "/dev/zero"],
        "4 kB writes": ["dd", "if=/dev/zero", "bs=4k", f"count={given.megabytes * 256}", "status=none"],
    }
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "GATEWAY_SPOOL": f"{folder}/spool"}
        env.pop("GATEWAY_URL", None)
        for name, source in sources.items():
            bare = min(seconds(source, env) for _ in range(given.rounds))
            through = min(seconds([*CLIENT, *source], env) for _ in range(given.rounds))
            print(
                f"{name}: bare {bare:.2f} s, through run {through:.2f} s,"
                f" ratio {bare / through:.2f} (goal: at least 0.80)"
            )
    print(f"conditions: {given.megabytes} MB, best of {given.rounds}, {os.cpu_count()} cores, {Path(sys.executable)}")


if __name__ == "__main__":
    main()
