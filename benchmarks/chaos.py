"""The whole chain for as long as one likes, while each of its parts is killed, paused and cut off in turn.

    python benchmarks/chaos.py [--minutes 30] [--seed 1] [--folder DIR]

Everything runs on this machine: MariaDB, two webs, two relays, reconciliation, a pair of Alertmanagers, three destinations.
Prints what was done, figures, and every fault; exit code 1 when there is one. `tests/chain/test_chaos.py` is its short form.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.chain.chaos.run import play


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, help="where logs and userdb are kept; default: a temporary folder")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(exist_ok=True)
    print(f"seed {arguments.seed}, {arguments.minutes:g} min, in {folder}", flush=True)
    report = play(folder, arguments.minutes * 60, arguments.seed)
    (folder / "troubles.log").write_text("\n".join(report.troubles) + "\n")
    print(json.dumps(report.figures, indent=2, default=str, ensure_ascii=False))
    for fault in report.faults:
        print("FAULT", fault)
    print(f"{len(report.faults)} faults")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
