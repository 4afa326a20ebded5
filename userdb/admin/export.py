"""A list as CSV, streamed: rows are read in pieces along their key, so that memory does not grow with their number.

In: the rows as a list's filters leave them. Out: a response; called by every list (`pages.py`). Text that a spreadsheet
would run as a formula is made harmless: what tenants and alerts say is a stranger's (CWE-1236).
"""

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from userdb.audit import HIDDEN

_PIECE = 1000
_LEFT_OUT = HIDDEN | {"body", "claim"}
_BOM = "\ufeff"  # without it Excel reads UTF-8 as the machine's own code page, and Chinese as something else
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def response(rows: QuerySet[Any], also: Sequence[str] = ()) -> StreamingHttpResponse:
    """Return the answer: newest first, one column a field, and `also` (lookup paths) after them."""
    opts = rows.model._meta
    columns = [field.attname for field in opts.concrete_fields if field.name not in _LEFT_OUT] + list(also)
    answer = StreamingHttpResponse(_lines(rows, columns), content_type="text/csv; charset=utf-8")
    name = f"{opts.model_name}-{timezone.now().astimezone(UTC):%Y%m%dT%H%M%SZ}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


class _Line:
    """What csv.writer writes to: it gives the line back."""

    def write(self, text: str) -> str:
        return text


def _lines(rows: QuerySet[Any], columns: list[str]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield _BOM + writer.writerow([column.replace("__", ".") for column in columns])
    key = rows.model._meta.pk.attname
    rows, last = rows.order_by("-pk"), None
    while True:
        piece = list((rows if last is None else rows.filter(pk__lt=last)).values_list(key, *columns)[:_PIECE])
        yield "".join(writer.writerow([_cell(value) for value in row[1:]]) for row in piece)
        if len(piece) < _PIECE:
            return
        last = piece[-1][0]


def _cell(value: Any) -> Any:
    """Return what stands in a cell: times in UTC, documents as JSON, nothing for NULL, text that is no formula."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return value
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
