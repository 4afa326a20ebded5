"""Columns that mean the same on SQLite, MariaDB and MySQL: case-sensitive keys and times in UTC.

With MariaDB's default collation `team-a`, `Team-A` and `team-a ` are one key (measured); `utf8mb4_bin` still ignores
trailing spaces, so keys with white space at an end are refused before they reach the database.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
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

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if isinstance(value, str) and value != value.strip():
            raise ValidationError(f"{self.name}: {value!r} begins or ends with white space")
        return value


class AsciiKeyField(KeyField):
    """A hash, a fingerprint or a UUID: one byte a character, which keeps MySQL's indexes small."""

    mysql_collation = "ascii_bin"


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
