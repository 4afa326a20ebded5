"""The host project and the admin service migrate the same database, in whichever order."""

import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from tests.adopting.conftest import Platform
from tests.adopting.document import SOURCE

pytestmark = pytest.mark.processes


def _admin_service(platform: Platform, *command: str) -> str:
    environment = platform.environment | {
        "DJANGO_SECRET_KEY": "only-for-tests-" + "x" * 50,
        "DJANGO_SETTINGS_MODULE": "alert_bridge.settings",
        "USERDB_SECRET_KEYS": Fernet.generate_key().decode(),
    }
    done = subprocess.run(
        [sys.executable, SOURCE / "manage.py", *command],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("host_first", [True, False], ids=["host first", "admin service first"])
def test_both_have_their_tables_and_no_others(new_platform: Platform, host_first: bool) -> None:
    if host_first:
        new_platform.manage("migrate", "--database", "userdb")
        _admin_service(new_platform, "migrate")
    else:
        _admin_service(new_platform, "migrate")
        new_platform.manage("migrate", "--database", "userdb")
    assert "No migrations to apply" in new_platform.manage("migrate", "--database", "userdb")
    assert "No migrations to apply" in _admin_service(new_platform, "migrate")
    assert {"auth_user", "django_session", "userdb_alert"} <= new_platform.tables("userdb")
