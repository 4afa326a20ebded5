"""Settings of the tests: the bridge's own, on databases of their own. `mysql` is a MariaDB that conftest starts.

The server's zone is +08:00 and so is Django's: nothing may depend on either.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

from tests.mariadb import free_port

FOLDER = Path(tempfile.mkdtemp(prefix="mission-monitor-tests-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
MYSQL_PORT = free_port()
WITH_MYSQL = os.environ.get("USERDB", "") != "sqlite"

os.environ.update(
    DJANGO_SECRET_KEY="only-for-tests-" + "x" * 50,
    USERDB_SECRET_KEYS=Fernet.generate_key().decode(),
    USERDB_URL=f"sqlite:///{FOLDER / 'userdb.sqlite3'}",
    DJANGO_TIME_ZONE="Asia/Shanghai",
    DJANGO_ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
    WEBHOOK_TOKEN="webhook-token",
    CHANNEL_ALLOWED_NETWORKS="127.0.0.0/8,::1/128",  # the tests' own receivers
    ALERTMANAGER_URL="http://127.0.0.1:1",  # nobody is there, whatever runs on this machine
)
for name in (
    "WEBHOOK_TOKEN_FILE",
    "USERDB_URL_FILE",
    "USERDB_SECRET_KEYS_FILE",
    "DJANGO_SECRET_KEY_FILE",
    "ALERTMANAGER_URL_FILE",
):
    os.environ.pop(name, None)

from alert_bridge.settings import *  # noqa: E402, F403
from alert_bridge.settings import DATABASES  # noqa: E402
from userdb import site  # noqa: E402

INSTALLED_APPS = [*INSTALLED_APPS, "exporters.route_management.apps.RouteManagementConfig"]  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
(FOLDER / "userdb.sqlite3").touch()
DATABASES["default"]["TEST"] = {"NAME": str(FOLDER / "tests.sqlite3")}
if WITH_MYSQL:
    os.environ["USERDB_URL"] = f"mysql://root@127.0.0.1:{MYSQL_PORT}/userdb"
    DATABASES["mysql"] = site.database() | {"ENGINE": "alert_bridge.mysql", "TEST": {"CHARSET": "utf8mb4"}}
    os.environ["USERDB_URL"] = f"sqlite:///{FOLDER / 'userdb.sqlite3'}"
DATABASE_ROUTERS = ["tests.router.BothRouter"]
