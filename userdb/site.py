"""What the settings of both Django sites share: database, router, time zone, secret key; logging is `runtime`'s.

In: the environment (USERDB_URL, DJANGO_*). Out: values that the settings modules take by name. SettingsError says what to
set. Nothing here opens a connection.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import dj_database_url

from runtime.settings import Secret, SettingsError, env_bool, env_list, env_text

_SOURCE = Path(__file__).resolve().parent.parent
HOME = _SOURCE if (_SOURCE / "manage.py").exists() else Path.cwd()
"""What relative paths count from: the folder of manage.py, else the current one."""

DEFAULT_URL = "sqlite:///var/userdb.sqlite3"
# a lost fsync would break "nothing accepted is lost", hence FULL; with WAL readers and the one writer go on together
_SQLITE_INIT = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
# MariaDB waits 50 s for a lock by default; a webhook has 6 s in all. Without strict mode what is too long is cut silently
_MYSQL_INIT = (
    "SET SESSION innodb_lock_wait_timeout=2, max_error_count=1024, "
    "sql_mode=CONCAT(@@SESSION.sql_mode, ',STRICT_TRANS_TABLES')"
)


def sqlite_path() -> Path | None:
    """Return the file of userdb, or None when it is no SQLite database."""
    parsed = _parsed()
    if parsed["ENGINE"] != "django.db.backends.sqlite3":
        return None
    if parsed["NAME"] in ("", ":memory:"):
        raise SettingsError("USERDB_URL names no file: several processes share userdb; write sqlite:///path")
    return HOME / str(parsed["NAME"])


def _parsed() -> dict[str, Any]:
    url = Secret("USERDB_URL").values() or (DEFAULT_URL,)
    try:
        return dict(dj_database_url.parse(url[0]))
    except (dj_database_url.ParseError, dj_database_url.UnknownSchemeError, ValueError) as error:
        # the URL holds a password: never repeat it
        raise SettingsError(
            "USERDB_URL can't be read: write sqlite:///path or mysql://user:password@host:3306/userdb"
        ) from error


def database() -> dict[str, Any]:
    """Return the Django DATABASES entry of userdb."""
    parsed = _parsed()
    path = sqlite_path()
    if path is not None:
        # mode=rw: a process that starts too early must not make an empty database; only `migrate` makes the file
        parsed["NAME"] = f"file:{quote(str(path))}?mode=rw"
        parsed["OPTIONS"] = {"timeout": 2, "transaction_mode": "IMMEDIATE", "init_command": _SQLITE_INIT}
    elif parsed["ENGINE"] == "django.db.backends.mysql":
        if not parsed["NAME"]:
            raise SettingsError("USERDB_URL names no database: write mysql://user:password@host:3306/userdb")
        parsed["OPTIONS"] = {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            "init_command": _MYSQL_INIT,
            "connect_timeout": 3,
            "read_timeout": 10,
            "write_timeout": 10,
            **parsed.get("OPTIONS", {}),
        }
        parsed["TEST"] = {
            "CHARSET": "utf8mb4"
        }  # a host project's tests make a database, by default in latin1 on MariaDB
    else:
        raise SettingsError("USERDB_URL: only sqlite:// and mysql:// are supported")
    parsed |= {"CONN_MAX_AGE": 300, "CONN_HEALTH_CHECKS": True, "ATOMIC_REQUESTS": False}
    return parsed


def secret_key() -> str:
    """Return DJANGO_SECRET_KEY; SettingsError when it is missing, so that no site starts with a known one."""
    return Secret("DJANGO_SECRET_KEY").required(
        "make one with: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    )


DEBUG = env_bool("DJANGO_DEBUG", False)
ALLOWED_HOSTS = env_list("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
DATABASE_ROUTERS = ["userdb.router.UserdbRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = env_text("DJANGO_TIME_ZONE", "UTC")
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "userdb"  # userdb/en/formats.py
LOGGING_CONFIG = None  # runtime.logs configures it, the same in every process
APPEND_SLASH = False  # Alertmanager follows a redirect with a GET and loses the alert
