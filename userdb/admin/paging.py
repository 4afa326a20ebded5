"""Lists of millions that open as fast as lists of hundreds: what is counted, sorted and read has a bound.

Used by every page of userdb (`pages.py`).
"""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.utils.functional import cached_property
from django.utils.text import capfirst

_COUNTED = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most 10,000 rows, and reads whole rows of the page alone."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:_COUNTED].count())

    def page(self, number: Any) -> Page[Any]:
        """Return a page: first its keys, along an index, then its rows. A sort of whole rows would carry their texts."""
        number = self.validate_number(number)
        rows: Any = self.object_list
        begin = (number - 1) * self.per_page
        keys = list(rows.values_list("pk", flat=True)[begin : min(begin + self.per_page, self.count)])
        found = {row.pk: row for row in rows.order_by().filter(pk__in=keys)[: len(keys)]} if keys else {}
        return Page([found[key] for key in keys if key in found], number, self)


class BoundedChangeList(ChangeList):
    """Sorts by no column that the page does not offer: `?o=` in an address would sort the whole table."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = str(
            capfirst(self.opts.verbose_name_plural)
        )  # not "Select alert to view": there is nothing to select

    def get_ordering_field(self, field_name: Any) -> Any:
        offered = self.sortable_by
        return super().get_ordering_field(field_name) if offered is None or field_name in offered else None
