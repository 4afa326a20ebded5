"""A list's filter by time: the last hour, day or week, or one day. Called by the lists of big tables.

Rows get their numbers in the order of their times. So a time is looked up once, along its index, and from then on its row's
number is the bound: the list goes on along its key, whatever else it is filtered by.
"""

from datetime import datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date

_LENGTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
_DAYS = 7
_YEARS = (1970, 9000)
"""No row is older or younger, and at the ends of the calendar a zone leads beyond it."""
SLACK = 10_000
"""Rows of one statement share a time, and those of transactions side by side may have numbers in another order than their
times. Asked for in the order of their times alone, which an index gives without a sort, any of them may come first."""


class TimeFilter(admin.SimpleListFilter):
    """By `parameter_name`, a column with an index that the database fills when the row is made."""

    numbered = True
    """Whether the rows' numbers follow their times."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        today = timezone.localdate()
        days = [(today - timedelta(days=n)).isoformat() for n in range(_DAYS)]
        return [("hour", "Last hour"), ("day", "Last 24 hours"), ("week", "Last 7 days"), *((day, day) for day in days)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        begin, end = _bounds(str(self.value() or ""))
        column = str(self.parameter_name)
        if begin is None:
            return queryset if not self.value() else queryset.none()
        if self.numbered:
            rows = queryset.model._default_manager.values_list("pk", flat=True)
            first = rows.filter(**{f"{column}__gte": begin}).order_by(column).first()
            if first is None:
                return queryset.none()
            queryset = queryset.filter(pk__gte=first - SLACK)
            if end is not None:
                last = rows.filter(**{f"{column}__lt": end}).order_by(f"-{column}").first()
                queryset = queryset.filter(pk__lte=(last or 0) + SLACK)
        queryset = queryset.filter(**{f"{column}__gte": begin})
        return queryset.filter(**{f"{column}__lt": end}) if end is not None else queryset


def _bounds(value: str) -> tuple[datetime | None, datetime | None]:
    """Return from when until when; (None, None) for what is no time. Any day may be asked for in the address."""
    if value in _LENGTHS:
        return timezone.now() - _LENGTHS[value], None
    try:
        day = parse_date(value)
        if day is None or not _YEARS[0] <= day.year <= _YEARS[1]:
            return None, None
        begin = timezone.make_aware(datetime.combine(day, time.min))
        return begin, begin + timedelta(days=1)
    except ValueError:
        return None, None


def time_filter(column: str, numbered: bool = True) -> type[TimeFilter]:
    """Return the filter of `column`."""
    title = "time" if column == "at" else column.replace("_", " ")
    return type("Filter", (TimeFilter,), {"title": title, "parameter_name": column, "numbered": numbered})
