"""Settings of a host project: databases written by hand, and what `check` says of settings that are wrong."""

import pytest

from tests.adopting.conftest import Platform

pytestmark = pytest.mark.processes


def test_migrating_the_hosts_own_database_makes_no_userdb(new_platform: Platform) -> None:
    new_platform.manage("migrate", "-v0")
    assert not (new_platform.folder.parent / "data").exists()


def test_a_database_written_by_hand_needs_no_variable(new_platform: Platform) -> None:
    new_platform.extra = {"DJANGO_SETTINGS_MODULE": "portal.settings_by_hand"}
    new_platform.manage("migrate", "--database", "userdb", "-v0")
    assert "userdb_monitorevent" in new_platform.tables("userdb")
    assert not (new_platform.folder.parent / "data").exists()


def test_the_hosts_tests_make_no_file(new_platform: Platform) -> None:
    new_platform.manage("test", "-v0")
    assert not (new_platform.folder.parent / "data").exists()


@pytest.mark.parametrize(
    ("lines", "identifier", "cure"),
    [
        ("DATABASE_ROUTERS = []", "userdb.E003", '"userdb.router.UserdbRouter" first in DATABASE_ROUTERS'),
        ("USERDB_ALIAS = 'events'", "userdb.E002", "Add it to DATABASES"),
        ("USE_TZ = False", "userdb.E004", "USE_TZ = True"),
        ("DATABASES['userdb']['TIME_ZONE'] = 'Asia/Shanghai'", "userdb.E004", "no TIME_ZONE in DATABASES"),
    ],
)
def test_settings_that_would_lose_rows_or_hours_fail_the_check(
    new_platform: Platform, lines: str, identifier: str, cure: str
) -> None:
    (new_platform.folder / "portal" / "wrong.py").write_text(f"from portal.settings import *\n{lines}\n")
    new_platform.extra = {"DJANGO_SETTINGS_MODULE": "portal.wrong"}
    done = new_platform.run("manage.py", "check")
    assert done.returncode == 1
    assert identifier in done.stderr
    assert cure in done.stderr
