"""Where userdb is not there, or is not as it should be: one line that says what to do, and exit code 1."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connections

from tests import settings
from tests.mariadb import MariaDB, free_port
from tests.userdb.conftest import ROOT, Run

pytestmark = pytest.mark.processes

CURE = "run 'python manage.py migrate'"
BAD_URLS = [
    ("nonsense", "USERDB_URL can't be read: write sqlite:///path or mysql://user:password@host:3306/userdb"),
    ("mysql://u:hunter2@h:abc/db", "USERDB_URL can't be read"),
    ("mysql://u:hunter2/db@h/x[", "USERDB_URL"),
    ("postgres://u:hunter2@h/db", "USERDB_URL: only sqlite:// and mysql:// are supported"),
    ("mysql://u:hunter2@h", "USERDB_URL names no database"),
    ("sqlite://", "USERDB_URL names no file"),
    ("sqlite://:memory:", "USERDB_URL names no file"),
    (f"mysql://u:hunter2@127.0.0.1:{free_port()}/userdb", "userdb can't be opened (Can't connect"),
]


def file_of(environment: dict[str, str]) -> Path:
    return Path(environment["USERDB_URL"].removeprefix("sqlite:///"))


@pytest.mark.parametrize(
    "command",
    [("createsuperuser", "--noinput"), ("showmigrations",), ("check", "--database", "default"), ("flush", "--noinput")],
    ids=lambda command: command[0],
)
def test_another_command_says_to_migrate_first_and_makes_no_file(
    manage: Run, environment: dict[str, str], command: tuple[str, ...]
) -> None:
    done = manage(*command)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"manage.py: userdb can't be opened (unable to open database file): check USERDB_URL, or {CURE}"
    )
    assert "Traceback" not in done.stderr
    assert not file_of(environment).exists()


def test_check_alone_needs_no_userdb(manage: Run, environment: dict[str, str]) -> None:
    assert manage("check").returncode == 0
    assert not file_of(environment).exists()


def test_migrate_makes_the_file_and_its_folder(manage: Run, environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "ü" / "userdb.sqlite3"
    done = manage("migrate", "--verbosity=0", USERDB_URL=f"sqlite:///{path}")
    assert (done.returncode, done.stderr) == (0, "")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_cannot_be_made_is_named(manage: Run) -> None:
    done = manage("migrate", USERDB_URL="sqlite:////proc/nowhere/userdb.sqlite3")
    assert done.returncode == 1
    assert "USERDB_URL: /proc/nowhere/userdb.sqlite3 can't be made: No such file or directory" in done.stderr


@pytest.mark.parametrize(("url", "text"), BAD_URLS, ids=[url.split("@")[0] for url, _ in BAD_URLS])
def test_a_url_that_cannot_be_used_is_one_line_without_its_password(manage: Run, url: str, text: str) -> None:
    done = manage("migrate", USERDB_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr


def test_a_missing_secret_key_is_named(manage: Run) -> None:
    done = manage("check", DJANGO_SECRET_KEY="")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "manage.py: DJANGO_SECRET_KEY (or DJANGO_SECRET_KEY_FILE) is not set: make one with: "
    )


def test_missing_secret_keys_fail_the_check(manage: Run) -> None:
    done = manage("check", USERDB_SECRET_KEYS="")
    assert done.returncode == 1
    assert "USERDB_SECRET_KEYS is not set" in done.stderr
    assert "HINT: Make one with:" in done.stderr


def test_a_url_may_stand_in_a_file(manage: Run, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "url").write_text(environment["USERDB_URL"] + "\n")
    assert manage("migrate", "--verbosity=0", USERDB_URL="", USERDB_URL_FILE=str(tmp_path / "url")).returncode == 0
    assert file_of(environment).exists()


def database(url: str, folder: Path) -> dict[str, object]:
    """Return what the settings make of a URL, in a process of its own that runs in `folder`."""
    code = "import json; from userdb import site; print(json.dumps([site.database(), str(site.HOME)]))"
    env = {"USERDB_URL": url, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, text=True, check=True)
    entry, home = json.loads(done.stdout)
    return entry | {"home": home}


def test_a_relative_path_counts_from_the_folder_of_manage_py(tmp_path: Path) -> None:
    entry = database("sqlite:///var/userdb.sqlite3", tmp_path)
    assert entry["NAME"] == f"file:{ROOT}/var/userdb.sqlite3?mode=rw"


def test_a_path_with_odd_letters_is_quoted(tmp_path: Path) -> None:
    assert database("sqlite:////tmp/a%3Fb/x%23.sqlite3", tmp_path)["NAME"] == "file:/tmp/a%3Fb/x%23.sqlite3?mode=rw"


def test_mysql_is_asked_for_what_the_chain_relies_on(tmp_path: Path) -> None:
    entry = database("mysql://u:p%40ss@db:3307/userdb?read_timeout=20&ssl-ca=/ca.pem", tmp_path)
    assert (entry["HOST"], entry["PORT"], entry["USER"], entry["PASSWORD"]) == ("db", 3307, "u", "p@ss")
    options = entry["OPTIONS"]
    assert isinstance(options, dict)
    assert (options["charset"], options["isolation_level"]) == ("utf8mb4", "read committed")
    assert (options["read_timeout"], options["ssl"]) == (20, {"ca": "/ca.pem"})
    assert entry["ATOMIC_REQUESTS"] is False


@pytest.mark.django_db(databases="__all__")
def test_a_session_waits_briefly_for_locks_and_cuts_nothing(vendor: str) -> None:
    if vendor == "sqlite":
        with connections["default"].cursor() as cursor:
            found = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("busy_timeout", "synchronous")]
        assert found == [2000, 2]
        return
    with connections["mysql"].cursor() as cursor:
        cursor.execute("SELECT @@innodb_lock_wait_timeout, @@tx_isolation, @@sql_mode")
        wait, isolation, mode = cursor.fetchone()
    assert (wait, isolation) == (2, "READ-COMMITTED")
    assert "STRICT_TRANS_TABLES" in mode


needs_mysql = pytest.mark.skipif(not settings.WITH_MYSQL, reason="USERDB=sqlite")


def root(sql: str) -> None:
    MariaDB(settings.FOLDER, settings.MYSQL_PORT).run(sql)


@pytest.fixture
def server() -> str:
    return f"mysql://root@127.0.0.1:{settings.MYSQL_PORT}"


@pytest.fixture
def latin(server: str, django_db_setup: None) -> Iterator[str]:
    """A database as MariaDB makes one by itself."""
    root("CREATE DATABASE latin CHARACTER SET latin1")
    yield f"{server}/latin"
    root("DROP DATABASE latin")


@needs_mysql
def test_a_character_set_that_holds_no_chinese_fails_the_check(manage: Run, latin: str) -> None:
    done = manage("check", "--database", "default", USERDB_URL=latin)
    assert done.returncode == 1
    assert "(userdb.E001) The database latin has the character set latin1" in done.stderr
    assert "ALTER DATABASE `latin` CHARACTER SET utf8mb4;" in done.stderr


@needs_mysql
def test_a_table_that_is_not_there_says_to_migrate_first(manage: Run, latin: str) -> None:
    done = manage("createsuperuser", "--noinput", "--username=a", "--email=a@example.org", USERDB_URL=latin)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("manage.py: userdb can't be opened (Table 'latin.auth_user'")


@needs_mysql
def test_a_small_packet_limit_is_a_warning_with_the_number(manage: Run, server: str, django_db_setup: None) -> None:
    root("CREATE DATABASE packets CHARACTER SET utf8mb4; SET GLOBAL max_allowed_packet = 16777216")
    try:
        done = manage("check", "--database", "default", USERDB_URL=f"{server}/packets")
    finally:
        root("SET GLOBAL max_allowed_packet = 67108864; DROP DATABASE packets")
    assert done.returncode == 0
    assert "(userdb.W001) max_allowed_packet is 16777216 bytes: webhooks above 8388608 bytes" in done.stderr
    assert "Set max_allowed_packet=67108864" in done.stderr


@needs_mysql
def test_a_refused_login_is_one_line_without_the_password(manage: Run, server: str, django_db_setup: None) -> None:
    done = manage("migrate", USERDB_URL=server.replace("root@", "nobody:hunter2@") + "/userdb")
    assert done.returncode == 1
    assert "Access denied for user 'nobody'" in done.stderr
    assert "hunter2" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
