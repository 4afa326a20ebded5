"""What the client's tests share: a spool of their own, and the command as a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters.gateway_client.spool import Spool
from tests.exporters.gateway_client.client import Client

_VARIABLES = (
    "GATEWAY_URL", "GATEWAY_TOKEN", "GATEWAY_TOKEN_FILE", "GATEWAY_TASK", "GATEWAY_TASKS", "GATEWAY_RULES", "GATEWAY_CA",
    "GATEWAY_FEDERATION", "GATEWAY_RUN_ID", "GATEWAY_SPOOL_ROWS", "GATEWAY_SPOOL_BYTES", "TENANT_ID",
)  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spool's folder, which this process and its children use."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAY_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    made = Spool(folder)
    yield made
    made.database.close()
    for path in made.journals():
        path.unlink(missing_ok=True)


@pytest.fixture
def client(folder: Path, spool: Spool) -> Client:
    return Client(folder)
