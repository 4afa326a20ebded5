"""From typing `make smoke` in a fresh clone to the first delivered notification, and each leg after the third failed run.

Absolute seconds with their conditions; goals: 4 minutes to the first notification, 30 s from the third failed run to the
delivered e-mail, on 2 cores. `python benchmarks/fresh_clone.py` clones this checkout into a temporary folder and downloads
what a new machine has to; `--runs 3` repeats the smoke there (the first one installs, each later one waits up to 6 minutes
until the alerts of the one before are over).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
_SET = {"PORT_BRIDGE": "18000", "PORT_BRIDGE_METRICS": "18100", "PORT_RELAY": "18101", "PORT_GATEWAY": "18001",
        "PORT_GATEWAY_METRICS": "18111", "PORT_CLIENT": "19810", "PORT_PROMETHEUS": "19090", "PORT_ALERTMANAGER": "19093",
        "PORT_INBOX": "18025", "PORT_SMTP": "11025"}  # fmt: skip


def smoke(clone: Path) -> tuple[float, dict[str, float]]:
    """Return (seconds to the first delivered notification, the legs)."""
    began, first, last = time.monotonic(), 0.0, ""
    command = ["make", "smoke"]
    with subprocess.Popen(command, cwd=clone, env=os.environ | _SET, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stderr.write(line)
            if not first and " delivered " in line:
                first = time.monotonic() - began
            last = line
    if process.returncode:
        raise SystemExit(f"make smoke ended with {process.returncode}")
    return first, json.loads(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=1)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="fresh-clone-") as folder:
        clone = Path(folder, "mission-monitor")
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(SOURCE), str(clone)], check=True)
        for number in range(1, runs + 1):
            first, legs = smoke(clone)
            how = "fresh clone, everything downloaded" if number == 1 else "the same folder again"
            print(f"run {number} ({how}): first delivered notification {first:.1f} s after typing")
            print(f"  from the third failed run: {json.dumps(legs)}")
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.platform()}, Python {platform.python_version()}"
    print(f"conditions: {machine}, SQLite, scrape and evaluation 5 s")


if __name__ == "__main__":
    main()
