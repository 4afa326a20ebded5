"""The sample tenant's story: real OpenDSS runs that succeed, fail three times, and succeed again.

It runs as a tenant's process does, under `gateway-client run`, and knows nothing of the chain but its own variables. Each
line that it prints is shown in the terminal of the local run.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import requests

from local.places import SOURCE
from local.ports import answers

TASK = "opendss-feeder"
BEGINS = "the story begins"
ENDS = "the story is told"
PAUSE = 40.0
"""Seconds between the last failure and the success that ends the alert."""
_CALM = 8 * 60.0
_CASE = SOURCE / "examples" / "opendss" / "feeder.py"


def say(text: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}\n")
    sys.stdout.flush()


def run(kilowatts: int) -> int:
    """Run the feeder with this load; return its exit code."""
    client = str(Path(sys.executable).with_name("gateway-client"))
    command = [client, "run", "--task", TASK, "--", sys.executable, str(_CASE), "--load-kw", str(kilowatts)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    say(
        f"{TASK} with a load of {kilowatts} kW: " + ("converged" if done.returncode == 0 else f"exit {done.returncode}")
    )
    return done.returncode


def _wait_until(is_true: Callable[[], bool], seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.5)
    return True


def _alerts(prometheus: str, tenant: str) -> list[str]:
    """Return the names of this tenant's alerts that are pending or firing."""
    found = requests.get(f"{prometheus}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
    return [alert["labels"]["alertname"] for alert in found if alert["labels"].get("tenant") == tenant]


def _wait_for_calm(prometheus: str, tenant: str) -> bool:
    if not _alerts(prometheus, tenant):
        return True
    run(500)  # ends what an earlier story left failing
    say("waiting until the alerts of an earlier run are over (the window of RepeatedFailures is 5 min)")
    return _wait_until(lambda: not _alerts(prometheus, tenant), _CALM)


def tell(arguments: argparse.Namespace) -> int:
    """Tell the story once."""
    for address in arguments.wait_for:
        if not _wait_until(lambda address=address: answers(address), 120):  # type: ignore[misc]
            say(f"{address} did not become ready")
            return 1
    if arguments.calm and not _wait_for_calm(arguments.calm, arguments.tenant):
        say("the alerts of an earlier run did not end")
        return 1
    say(BEGINS)
    codes: Sequence[int] = [run(500), *(run(1000) for _ in range(3))]
    say(f"nothing for {PAUSE:.0f} s")
    time.sleep(PAUSE)
    codes = [*codes, run(500)]
    say(ENDS if [code != 0 for code in codes] == [False, True, True, True, False] else f"unexpected exits {codes}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser("python -m local.sample", description="The sample tenant's runs.")
    parser.add_argument("--wait-for", action="append", default=[], metavar="URL", help="answers 200 before it begins")
    parser.add_argument("--calm", metavar="URL", help="Prometheus: wait until it has no alert of the tenant")
    parser.add_argument("--tenant", required=True)
    return tell(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
