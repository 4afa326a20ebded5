"""The host project's own rules and alerts, in real Prometheus tools and a real Alertmanager."""

import json
import shutil
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from local import programs
from tests.adopting.conftest import Platform
from tests.adopting.document import MINIATURE, SOURCE
from tests.mariadb import free_port

pytestmark = pytest.mark.chain


def test_a_rule_of_the_platforms_own_takes_its_threshold_from_userdb(tmp_path: Path) -> None:
    for name in ("platform.rules.yml", "platform.test.yml"):
        shutil.copy(MINIATURE / "prometheus" / name, tmp_path)
    shutil.copy(SOURCE / "prometheus" / "rules" / "policy.rules.yml", tmp_path)
    command = [programs.find("promtool"), "test", "rules", "platform.test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_only_code_knows_stands_in_alertmanager(new_platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    port = free_port()
    command = [
        programs.find("alertmanager"), "--config.file=alertmanager.yml", "--storage.path=data",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/-/ready")
        new_platform.extra = {"ALERTMANAGER_URL": url}
        new_platform.python(
            "from datetime import timedelta; from monitoring.alerts import send_alert\n"
            "send_alert('LicenseEnds', 'alpha', 'warning', 'ends on Friday', timedelta(hours=1))"
        )
        with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=5) as answer:
            (alert,) = json.loads(answer.read())
        assert alert["labels"] == {"alertname": "LicenseEnds", "tenant": "alpha", "severity": "warning"}
        assert alert["status"]["state"] == "active"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.05)
    pytest.fail(f"{url} does not answer")
