"""Grafana's user of the database as the compose file and the cluster make it: the script, on a real server."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import MySQLdb
import pytest
from django.db import connections

from tests import settings
from tests.compose.files import ROOT
from userdb.router import alias

pytestmark = [pytest.mark.mysql, pytest.mark.processes, pytest.mark.django_db(transaction=True, databases="__all__")]


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mysql-root-password").write_text("\n")  # the tests' server has none
    (tmp_path / "grafana-userdb-password").write_text("b0a7\n")
    yield tmp_path
    root = MySQLdb.connect(host="127.0.0.1", port=settings.MYSQL_PORT, user="root")
    root.query("DROP USER IF EXISTS 'grafana'@'%'")
    root.close()


def run(secrets: Path) -> subprocess.CompletedProcess[str]:
    told = {
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_PORT": str(settings.MYSQL_PORT),
        "MYSQL_DATABASE": str(connections[alias()].settings_dict["NAME"]),
        "SECRETS": str(secrets),
        "PATH": os.environ["PATH"],
    }
    script = ROOT / "grafana" / "grants.sh"
    return subprocess.run(["sh", script], env=told, capture_output=True, text=True, check=False, timeout=30)


def grafana(password: str = "b0a7") -> MySQLdb.Connection:  # noqa: S107
    name = connections[alias()].settings_dict["NAME"]
    return MySQLdb.connect(host="127.0.0.1", port=settings.MYSQL_PORT, user="grafana", password=password, database=name)


@pytest.mark.parametrize("vendor", ["mysql"], indirect=True)
def test_grafana_reads_the_views_and_no_table(vendor: str, secrets: Path) -> None:
    done = run(secrets)
    assert done.returncode == 0, done.stderr
    connection = grafana()
    connection.query("SELECT COUNT(*) FROM grafana_channels")
    connection.store_result()
    with pytest.raises(MySQLdb.OperationalError, match="denied"):
        connection.query("SELECT secret_token FROM userdb_channel")
    connection.close()


@pytest.mark.parametrize("vendor", ["mysql"], indirect=True)
def test_run_again_it_sets_the_password_anew(vendor: str, secrets: Path) -> None:
    run(secrets)
    (secrets / "grafana-userdb-password").write_text("c1d8\n")
    assert run(secrets).returncode == 0
    grafana("c1d8").close()


@pytest.mark.parametrize("vendor", ["mysql"], indirect=True)
def test_a_password_that_would_be_read_as_sql_is_refused(vendor: str, secrets: Path) -> None:
    (secrets / "grafana-userdb-password").write_text("x'; DROP USER root; --\n")
    done = run(secrets)
    assert (done.returncode, "letters and digits alone" in done.stderr) == (1, True)


@pytest.mark.parametrize("vendor", ["mysql"], indirect=True)
def test_without_the_views_it_fails_so_that_it_is_tried_again(vendor: str, secrets: Path) -> None:
    with connections[alias()].cursor() as cursor:
        cursor.execute("RENAME TABLE grafana_alerts TO grafana_elsewhere")
    try:
        assert run(secrets).returncode != 0
    finally:
        with connections[alias()].cursor() as cursor:
            cursor.execute("RENAME TABLE grafana_elsewhere TO grafana_alerts")
