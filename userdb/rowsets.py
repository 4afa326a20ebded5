"""A set of rows of any size as one parameter of one statement: JSON in, a table out, on both databases.

`rowset("mysql", {...})` is a `JSON_TABLE`, on SQLite a `json_each`. So the number of statements stays the same for 1 and
10,000 alerts, and no limit on bound variables is met (measured: 10,000 rows inserted in 80 ms on MariaDB).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, AnyStr

KEY, ASCII, TEXT, INTEGER, REAL, TIME = "key", "ascii", "text", "integer", "real", "time"
"""Kinds of columns. JSON documents travel as TEXT that holds their serialisation."""

_PACK = 8_000_000  # characters: at most 32 MB of UTF-8, half of the max_allowed_packet that is asked for

_MYSQL_TYPES = {
    KEY: "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ASCII: "VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin",
    TEXT: "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    INTEGER: "BIGINT",
    REAL: "DOUBLE",
    TIME: "DATETIME(6)",
}


def rowset(vendor: str, columns: Mapping[str, str], name: str = "j") -> str:
    """Return SQL for a derived table `name` with these columns and one parameter: one of `packs(rows)`."""
    if vendor == "mysql":
        defined = ", ".join(
            f"`{column}` {_MYSQL_TYPES[kind]} PATH '$[{i}]'" for i, (column, kind) in enumerate(columns.items())
        )
        return f"JSON_TABLE(%s, '$[*]' COLUMNS({defined})) AS {name}"
    picked = ", ".join(f"json_extract(value, '$[{i}]') AS `{column}`" for i, column in enumerate(columns))
    return f"(SELECT {picked} FROM json_each(%s)) AS {name}"  # noqa: S608


def upsert(vendor: str, table: str, columns: Mapping[str, str], values: Sequence[str]) -> str:
    """Return SQL that inserts a rowset into `table`, or sets the `values` of rows that are there; one parameter.

    The other columns are the table's unique key. Names are ours, never a stranger's.
    """
    names = ", ".join(columns)
    if vendor == "mysql":
        end = "ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in values)
    else:
        key = ", ".join(name for name in columns if name not in values)
        end = f"WHERE true ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{n} = excluded.{n}" for n in values)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {rowset(vendor, columns)} {end}"  # noqa: S608


_encode = json.JSONEncoder(
    ensure_ascii=False
).encode  # made once: json.dumps makes one at each call that is not its default


def plain(value: Any) -> Any:
    """Return a value as a rowset's column or a statement's parameter takes it: times and documents as texts."""
    if isinstance(value, datetime):
        # as Django writes it: SQLite compares times as texts, and a whole second has no microseconds there
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    if isinstance(value, (dict, list)):
        return _encode(value)
    return value


def packs(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the parameters of a rowset: one, or a few where it would not pass max_allowed_packet. None without rows."""
    for parts in pieces((_encode([plain(value) for value in row]) for row in rows), _PACK):
        yield f"[{','.join(parts)}]"


def pieces(parts: Iterable[AnyStr], most: int) -> Iterator[list[AnyStr]]:
    """Yield all parts in one list, or in a few of at most `most` characters or bytes each. None without parts."""
    taken: list[AnyStr] = []
    size = 0
    for part in parts:
        if taken and size + len(part) > most:
            yield taken
            taken, size = [], 0
        taken.append(part)
        size += len(part)
    if taken:
        yield taken


def utc(value: Any) -> datetime | None:
    """Return a time as a raw cursor gives it (naive on MySQL, text on SQLite) as a datetime in UTC; None for NULL."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC)
