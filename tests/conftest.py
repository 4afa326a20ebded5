"""What all tests share: the two databases, and the named cast."""

from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings

from tests.mariadb import MariaDB, MissingServer

VENDORS = ["sqlite", "mysql"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on MariaDB, so that it can be left out by name."""
    for item in items:
        call = getattr(item, "callspec", None)
        if call is not None and call.params.get("vendor") == "mysql":
            item.add_marker(pytest.mark.mysql)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """Start MariaDB before Django makes its test databases; without it say what to install."""
    from tests import settings

    server = MariaDB(settings.FOLDER, settings.MYSQL_PORT)
    if settings.WITH_MYSQL:
        try:
            server.start()
        except MissingServer as error:
            pytest.exit(str(error), returncode=1)
    yield
    server.stop()


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest, settings: object) -> str:
    """Run the test on SQLite and on MariaDB: userdb's router sends every table there."""
    alias = "default" if request.param == "sqlite" else "mysql"
    if alias not in django_settings.DATABASES:
        pytest.skip("USERDB=sqlite")
    settings.USERDB_ALIAS = alias  # type: ignore[attr-defined]
    return str(request.param)
