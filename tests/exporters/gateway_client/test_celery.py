"""The documented five lines, with a real worker."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.exporters.gateway_client.client import ROOT, Client, until

pytestmark = pytest.mark.processes

pytest.importorskip("celery")

HOOKUP = ROOT / "docs" / "gateway-client.md"
MODULE = """
from celery import Celery

app = Celery("tenant", broker="filesystem://", broker_transport_options={{
    "data_folder_in": {folder!r}, "data_folder_out": {folder!r}, "control_folder": {folder!r},
}})
app.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True)

{hookup}

@app.task(name="tenant.solve")
def solve(load):
    return 1 / load
"""


def hookup() -> str:
    """Return the lines as docs/gateway-client.md has them."""
    _, _, rest = HOOKUP.read_text().partition("```python\nfrom celery.signals import task_failure\n")
    lines, _, _ = rest.partition("```")
    return "from celery.signals import task_failure\n" + lines


def test_a_task_that_fails_in_a_worker_is_reported(client: Client, tmp_path: Path) -> None:
    assert len([line for line in hookup().splitlines() if line.strip()]) == 5
    (tmp_path / "broker").mkdir()
    (tmp_path / "tenant.py").write_text(MODULE.format(folder=str(tmp_path / "broker"), hookup=hookup()))
    python = ["env", f"PYTHONPATH={ROOT}:{tmp_path}", sys.executable]
    worker = subprocess.Popen(
        [*python, "-m", "celery", "-A", "tenant", "worker", "--pool=prefork", "--concurrency=2", "--loglevel=ERROR",
         "--without-gossip", "--without-mingle", "--without-heartbeat"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        send = "from tenant import solve; solve.delay(0); solve.delay(2)"
        subprocess.run([*python, "-c", send], cwd=tmp_path, check=True)
        until(client.reports, 40)
    finally:
        worker.terminate()
        worker.wait(20)
    report = client.report()
    assert (report["task"], report["failure_type"]) == ("tenant.solve", "exception")
    assert report["message"] == "tenant.solve: ZeroDivisionError('division by zero')"
    assert "return 1 / load" in report["detail"]["traceback"]
    assert report["detail"]["task_id"]
