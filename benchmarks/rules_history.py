"""Gives a Prometheus that has just begun the past that the windows of its rules look at. Called by `rules_size.py`.

In: its answers to the selectors over which the rules take windows (`[15m]`, `[1h]`). Out: blocks in its data folder in which
each of these series had the same value for the length of its longest window before Prometheus began. Without them a window of
an hour costs its full share after an hour only; what a counter grew by is not changed.
"""

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from local.programs import find  # noqa: E402
from tests.prometheus.rule_files import document, every_rule  # noqa: E402

_WINDOW = re.compile(r"([a-z_][\w:]*(?:\{[^}]*\})?)\[(\d+)([mhd])\](?: offset (\d+)([mhd]))?")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_SHORT = 300
"""Windows that are full by themselves while the benchmark waits."""
_LONG = 2 * 3600
"""A day is looked back at for one job alone: it costs nothing."""


def windows() -> dict[str, int]:
    """Return how many seconds back the rules look, at most, by selector; without those that are full at once."""
    found: dict[str, int] = {}
    for rule in every_rule():
        for selector, length, unit, offset, offset_unit in _WINDOW.findall(rule.expression):
            seconds = int(length) * _SECONDS[unit] + int(offset or 0) * _SECONDS.get(offset_unit, 0)
            if _SHORT < seconds <= _LONG:
                found[selector] = max(seconds, found.get(selector, 0))
    return found


def paces(interval: int) -> dict[str, int]:
    """Return how many seconds lie between two samples of each record."""
    pace: dict[str, int] = {}
    for path in {rule.file for rule in every_rule()}:
        for group in document(path)["groups"]:
            text = group.get("interval", f"{interval}s")
            seconds = int(text[:-1]) * (1 if text.endswith("s") else _SECONDS[text[-1]])
            pace |= {body["record"]: seconds for body in group["rules"] if "record" in body}
    return pace


def _ask(port: int, expression: str) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/api/v1/query?" + urlencode({"query": expression}))
    found: list[dict[str, Any]] = json.loads(connection.getresponse().read())["data"]["result"]
    connection.close()
    return found


def _lines(port: int, began: float, interval: int) -> Iterator[str]:
    """Yield the past of one series at a time, in the text that promtool reads."""
    pace = paces(interval)
    for selector, seconds in windows().items():
        step = pace.get(selector.split("{")[0], interval)
        moments = [int(began) - back for back in range(seconds, 0, -step)]
        for series in _ask(port, selector):
            labels = ",".join(f"{k}={json.dumps(v)}" for k, v in series["metric"].items() if k != "__name__")
            head = f"{series['metric']['__name__']}{{{labels}}} {series['value'][1]} "
            yield "".join(f"{head}{moment}\n" for moment in moments)


def write(port: int, began: float, interval: int, folder: Path) -> int:
    """Write the blocks beside the data of the Prometheus in `folder`, which began at a Unix time; return how many."""
    text, blocks = folder / "history.om", folder / "history"
    with text.open("w") as file:
        file.writelines(_lines(port, began, interval))
        file.write("# EOF\n")
    command: list[str | Path] = [find("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, blocks]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
    text.unlink()
    made = list(blocks.iterdir())
    for block in made:
        block.rename(folder / "data" / block.name)
    return len(made)
