"""A real Prometheus on the shipped configuration, with intervals of one second and target files of the test's own."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from local.programs import find
from tests.mariadb import free_port
from tests.prometheus.rule_files import CONFIGURATION, document

Series = dict[str, Any]


@dataclass
class Prometheus:
    folder: Path
    port: int
    rules: Path | None = None
    """A folder of rule files in place of the shipped one."""

    def configure(self) -> Path:
        configuration = document(CONFIGURATION)
        configuration["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration["rule_files"] = [f"{self.rules or CONFIGURATION.parent / 'rules'}/*.rules.yml"]
        (self.folder / "targets").mkdir()
        path = self.folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(configuration))
        return path

    def scrape(self, job: str, pages: str, *labels: dict[str, str]) -> None:
        """Let the job have one target for each set of labels, all at the address `pages`."""
        groups = [{"targets": [pages], "labels": one} for one in labels]
        draft = self.folder / "draft"
        draft.write_text(json.dumps(groups))
        draft.replace(self.folder / "targets" / f"{job}.json")

    def ask(self, expression: str) -> list[Series]:
        """Return what a query finds now; nothing while Prometheus does not listen or is not ready yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/api/v1/query?" + urlencode({"query": expression}))
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 503:
                return []
            assert answer.status == 200, body
            return list(json.loads(body)["data"]["result"])
        except (OSError, http.client.HTTPException):
            return []
        finally:
            connection.close()

    def times(self, selector: str, value: float) -> list[float]:
        """Return when the one series had this value, in the last 5 minutes, in seconds."""
        (series,) = self.ask(f"{selector}[5m]")
        return [float(at) for at, found in series["values"] if float(found) == value]

    def until(self, holds: Callable[[], Any], seconds: float = 30) -> None:
        """Wait until it holds."""
        ends = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < ends, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)


@contextmanager
def running(folder: Path, rules: Path | None = None) -> Iterator[Prometheus]:
    """Start it without targets, on the shipped rules or on those of a folder; stop it at the end."""
    prometheus = Prometheus(folder, free_port(), rules)
    command: list[str | Path] = [
        find("prometheus"), f"--config.file={prometheus.configure()}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{prometheus.port}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        # the first evaluation is over
        prometheus.until(lambda: process.poll() is not None or prometheus.ask("ALERTS"))
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)
