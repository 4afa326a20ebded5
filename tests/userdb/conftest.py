"""userdb's cast: rows of every table, and programs of the project as a user runs them."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db.models import Model

from userdb import models

ROOT = Path(__file__).resolve().parent.parent.parent
START = datetime(2026, 11, 24, 10, tzinfo=UTC)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a process of its own gets: a userdb that is not there yet, keys, nothing of the test run's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("USERDB_", "DJANGO_", "WEBHOOK_", "REPORTS_"))}
    return kept | {
        "USERDB_URL": f"sqlite:///{tmp_path / 'userdb.sqlite3'}",
        "USERDB_SECRET_KEYS": Fernet.generate_key().decode(),
        "DJANGO_SECRET_KEY": "x" * 50,
        "PYTHONWARNINGS": "ignore",  # Django's own about a database that is not there
    }


@pytest.fixture
def manage(environment: dict[str, str]) -> Run:
    """`manage("check", USERDB_URL=...)` runs manage.py in another folder and returns what came of it."""

    def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        env = {k: v for k, v in (environment | changes).items() if v}
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=50, check=False)

    return run


def rows(count: int = 1) -> dict[type[Model], list[Any]]:
    """Make `count` rows of every table, one chain each, and return them by table."""
    made: dict[type[Model], list[Any]] = {table: [] for table in vars(models).values() if _is_table(table)}

    def make(table: type[Model], **fields: Any) -> Any:
        row = table._default_manager.create(**fields)
        made[table].append(row)
        return row

    for n in range(count):
        moment = START + timedelta(minutes=n)
        tenant = make(models.Tenant, name=f"tenant-{n}")
        make(models.ReporterToken, tenant=tenant, hash=f"{n:064x}", hint=f"mm_{n}")
        make(models.MonitorEvent, event_type="gateway", message="x" * 200, tenant=tenant.name, detail={"n": n})
        make(models.RequestRollup, tenant=tenant.name, minute=moment, outcome="success", instance="gateway-0")
        usage = {"namespace": "sim", "pod": f"pod-{n}", "container": "user", "cpu_cores": 0.5, "memory_bytes": 1}
        make(models.ContainerUsage, tenant=tenant.name, minute=moment, **usage)
        body = b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9"  # zlib of {}
        webhook = make(models.WebhookEvent, body=body, body_bytes=2, result="applied", odd=[{"index": 0}])
        identity = make(models.AlertIdentity, fingerprint=f"{n:016x}", alertname="TargetDown", labels={"job": "x"})
        alert = make(
            models.Alert, identity=identity, number=1, state="firing", starts_at=moment, highest_start=moment,
            first_webhook=webhook, generator_url="http://prometheus/graph", annotations={"summary": "down"},
        )  # fmt: skip
        make(models.AlertTransition, identity=identity, alert=alert, version=1, kind="firing", webhook=webhook)
        channel = make(models.Channel, name=f"channel-{n}", kind="webhook")
        owed = {"channel": channel, "identity": identity, "alert": alert, "kind": "firing"}
        notification = make(models.Notification, key=f"key-{n}", **owed)
        make(models.DeliveryAttempt, notification=notification, number=1, relay="relay-0")
        make(models.AlertPolicy, policy="repeated_failures", tenant=tenant.name, threshold=5)
        make(models.Acknowledgement, alert=alert, by="alice")
        make(models.MaintenanceWindow, tenant=tenant.name, starts_at=moment, ends_at=moment + timedelta(1), reason="x")
        make(models.AlertmanagerPeer, url=f"http://alertmanager-{tenant.name}:9093", answered_at=moment, firing=n)
        make(models.AuditEntry, by="alice", action="change", kind="channel", object_id=str(n), name="x", new={"a": 1})
    return made


def _is_table(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Model)
