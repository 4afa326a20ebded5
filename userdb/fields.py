"""Columns that mean the same on SQLite, MariaDB and MySQL: case-sensitive keys and times in UTC.

With MariaDB's default collation `team-a`, `Team-A` and `team-a ` are one key (measured); `utf8mb4_bin` still ignores
trailing spaces, so keys with white space at an end are refused before they reach the database, and looked up in vain.
"""

from typing import Any

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import Exact, In
from django.db.models.sql.compiler import SQLCompiler
from django.utils.deconstruct import deconstructible


class KeyField(models.CharField):  # type: ignore[type-arg]
    """Text that names something. Compared byte by byte; no white space at its ends."""

    mysql_collation = "utf8mb4_bin"

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters: dict[str, Any] = dict(super().db_parameters(connection))
        if connection.vendor == "mysql":
            parameters["collation"] = self.mysql_collation
        return parameters

    def odd(self, value: Any) -> str | None:
        """Return why no row can hold `value`, None when one can."""
        return "begins or ends with white space" if isinstance(value, str) and value != value.strip() else None

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        reason = self.odd(value)
        if reason:
            raise ValidationError(f"{self.name}: {value!r} {reason}")
        return super().get_db_prep_save(value, connection)


class AsciiKeyField(KeyField):
    """A hash, a fingerprint or a UUID: one byte a character, which keeps MySQL's indexes small."""

    mysql_collation = "ascii_bin"

    def odd(self, value: Any) -> str | None:
        if isinstance(value, str) and not value.isascii():
            return "is not ASCII"  # MySQL compares no other character set with the column: an error, not "no row"
        return super().odd(value)


@KeyField.register_lookup
class KeyExact(Exact):  # type: ignore[type-arg]
    """What no row can hold is no row's: MySQL would find `alpha` for `alpha `."""

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        field = self.lhs.output_field
        if isinstance(field, KeyField) and field.odd(self.rhs):
            raise EmptyResultSet
        return super().as_sql(compiler, connection)


@KeyField.register_lookup
class KeyIn(In):  # type: ignore[type-arg]
    """The same for each of a list."""

    def get_prep_lookup(self) -> Any:
        field = self.lhs.output_field
        if isinstance(field, KeyField) and isinstance(self.rhs, (list, tuple, set, frozenset)):
            self.rhs = [value for value in self.rhs if not field.odd(value)]
        return super().get_prep_lookup()


@deconstructible(path="userdb.fields.UtcNow")
class UtcNow(models.Func):
    """The database's clock in UTC, whatever zone its server or session is in (`NOW()` was 8 h off in Shanghai)."""

    template = "UTC_TIMESTAMP(6)"
    arity = 0
    output_field = models.DateTimeField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW')", **extra
        )


class UtcNowField(models.DateTimeField):  # type: ignore[type-arg]
    """A time that the database itself writes when the row comes without one; plain SQL inserts included."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("db_default", UtcNow())
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)
