"""`route-management token`: the token alone on standard output, everything else said beside it, every change audited."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.route_management.processes import migrate, run
from userdb.tokens import digest

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "userdb.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(_migrated: Path) -> Iterator[sqlite3.Connection]:
    """userdb, empty again."""
    with closing(sqlite3.connect(_migrated, isolation_level=None)) as connection:
        connection.executescript(
            "DELETE FROM userdb_reportertoken; DELETE FROM userdb_tenant; DELETE FROM userdb_auditentry"
        )
        yield connection


class Command:
    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"

    def __call__(self, *arguments: str) -> Any:
        return run(self.url, "token", *arguments)


@pytest.fixture
def token(database: sqlite3.Connection, _migrated: Path) -> Command:
    """`token("create", "alpha")` runs the command."""
    return Command(_migrated)


def rows(database: sqlite3.Connection, what: str) -> list[Any]:
    return database.execute(f"SELECT {what}").fetchall()


def test_create_prints_the_token_alone(token: Command, database: sqlite3.Connection) -> None:
    done = token("create", "alpha", "--note", "for tests", "--expires=90d")
    assert done.returncode == 0
    assert done.stdout.startswith("mm_")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "tenant alpha added\ntoken of alpha, shown once:\n"
    (row,) = rows(database, "hash, hint, note FROM userdb_reportertoken")
    assert row == (digest(done.stdout.strip()), done.stdout[:9], "for tests")
    (days,) = rows(database, "round(julianday(expires_at) - julianday(created_at)) FROM userdb_reportertoken")
    assert days == (90,)


def test_create_is_audited_without_the_token(token: Command, database: sqlite3.Connection) -> None:
    done = token("create", "alpha")
    entries = rows(database, '"by", action, kind, new FROM userdb_auditentry ORDER BY id')
    assert [entry[1:3] for entry in entries] == [("add", "tenant"), ("add", "reportertoken")]
    assert all(entry[0].endswith("(command line)") for entry in entries)
    assert done.stdout.strip() not in str(entries)
    assert digest(done.stdout.strip()) not in str(entries)


def test_a_second_token_is_of_the_same_tenant(token: Command, database: sqlite3.Connection) -> None:
    token("create", "alpha")
    assert "added" not in token("create", "alpha").stderr
    assert rows(database, "count(*) FROM userdb_tenant") == [(1,)]
    assert rows(database, "count(*) FROM userdb_reportertoken") == [(2,)]


@pytest.mark.parametrize("name", ["Alpha", " alpha", "alpha ", "unknown", "other", "*", "", "a_b", "x" * 64, "说"])
def test_a_name_that_is_no_tenants_is_refused(token: Command, database: sqlite3.Connection, name: str) -> None:
    done = token("create", name)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith(f"route-management token: {name!r}: ")
    assert rows(database, "count(*) FROM userdb_tenant") == [(0,)]


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--expires=0", "a token that has expired from the start is of no use"),
        ("--expires=soon", "is no duration"),
        ("--expires=99999999d", "is longer than 36500d"),
        (f"--note={'x' * 201}", "a note is one line of at most 200 characters"),
        ("--note=a\nb", "a note is one line of at most 200 characters"),
    ],
)
def test_a_wrong_flag_is_named(token: Command, database: sqlite3.Connection, flag: str, text: str) -> None:
    done = token("create", "alpha", flag)
    assert done.returncode == 2
    assert text in done.stderr
    assert rows(database, "count(*) FROM userdb_tenant") == [(0,)]


def test_a_tenant_that_is_off_is_said_to_be(token: Command, database: sqlite3.Connection) -> None:
    token("create", "alpha")
    database.execute("UPDATE userdb_tenant SET enabled = 0")
    done = token("create", "alpha")
    assert done.returncode == 0
    assert "tenant alpha is off: its reports are refused until it is enabled" in done.stderr


def test_rotate_ends_the_others_after_the_overlap(token: Command, database: sqlite3.Connection) -> None:
    first = token("create", "alpha").stdout
    done = token("rotate", "alpha", "--overlap=1h")
    assert done.stdout.startswith("mm_")
    assert "1 older ones end at 20" in done.stderr
    ends = dict(rows(database, "hint, round((julianday(expires_at) - julianday()) * 24) FROM userdb_reportertoken"))
    assert ends == {first[:9]: 1, done.stdout[:9]: None}
    assert rows(database, "count(*) FROM userdb_auditentry WHERE action = 'rotate'") == [(1,)]


def test_rotate_lengthens_no_tokens_life(token: Command, database: sqlite3.Connection) -> None:
    token("create", "alpha", "--expires=1h")
    token("rotate", "alpha", "--overlap=24h")
    assert rows(
        database,
        "round((julianday(min(expires_at)) - julianday()) * 24) FROM userdb_reportertoken",
    ) == [(1,)]


def test_revoke_refuses_from_now_on(token: Command, database: sqlite3.Connection) -> None:
    made = token("create", "alpha").stdout
    done = token("revoke", made[:9])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{made[:9]}… of alpha is refused from now on\n")
    assert rows(database, "revoked_at IS NULL FROM userdb_reportertoken") == [(0,)]
    assert rows(database, "count(*) FROM userdb_auditentry WHERE action = 'revoke'") == [(1,)]
    assert token("revoke", made[:9]).returncode == 1


@pytest.mark.parametrize("hint", ["mm_nobody", "说", "", " "])
def test_revoke_names_what_it_does_not_find(token: Command, hint: str) -> None:
    done = token("revoke", hint)
    assert done.returncode == 1
    assert f"0 tokens not yet revoked begin with {hint!r}: see 'token list'" in done.stderr


def test_list_shows_states_and_no_token(token: Command, database: sqlite3.Connection) -> None:
    made = token("create", "alpha", "--note=first").stdout.strip()
    token("revoke", token("create", "beta").stdout[:9])
    done = token("list")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["TOKEN", "TENANT", "STATE"]
    assert lines[1].split()[:4] == [made[:9], "alpha", "in", "force"]
    assert lines[1].endswith("never             first")
    assert lines[2].split()[1:3] == ["beta", "revoked"]
    assert made not in done.stdout
    assert len(token("list", "alpha").stdout.splitlines()) == 2


@pytest.mark.parametrize("action", ["list", "rotate"])
def test_an_unknown_tenant_is_named(token: Command, action: str) -> None:
    done = token(action, "nobody ")
    assert (done.returncode, done.stderr) == (1, "route-management token: there is no tenant 'nobody '\n")


def test_two_at_once_make_one_tenant_and_two_tokens(token: Command, database: sqlite3.Connection) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: token("create", "alpha"), range(2)))
    assert [one.returncode for one in done] == [0, 0]
    assert rows(database, "count(*) FROM userdb_tenant") == [(1,)]
    assert rows(database, "count(*) FROM userdb_reportertoken") == [(2,)]


def test_log_flags_are_taken(token: Command) -> None:
    assert token("list", "--log.level=error", "--log.format=json").returncode == 0
