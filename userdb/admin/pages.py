"""The two kinds of pages: `HistoryAdmin` shows rows that nobody edits, `AuditedAdmin` records each edit.

Both can be exported (`export.py`), and neither counts or sorts a big table (`paging.py`).
"""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.views.decorators.http import require_POST

from userdb import audit
from userdb.admin import export
from userdb.admin.identities import search
from userdb.admin.paging import BoundedChangeList, BoundedPaginator
from userdb.router import alias


def ago(moment: Any) -> str:
    """Return `3 minutes ago`, "" without a time."""
    if not moment:
        return ""
    if timezone.now() - moment < timedelta(minutes=1):
        return "less than a minute ago"
    return f"{timesince(moment, depth=1)} ago"


def when(moment: Any) -> str:
    """Return a time as all pages write it: to the second, with its zone."""
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT") if moment else ""


def listing(pairs: Mapping[str, Any]) -> SafeString:
    """Return names and values as lines of a page."""
    return block("\n".join(f"{name}: {value}" for name, value in sorted(pairs.items())))


def block(text: str) -> SafeString:
    """Return text with its lines, however long they are."""
    return format_html('<pre style="margin:0;white-space:pre-wrap;overflow-wrap:anywhere">{}</pre>', text or "none")


class _Page(admin.ModelAdmin):  # type: ignore[type-arg]
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a count of the whole table for each word of each filter
    paginator = BoundedPaginator
    list_per_page = 50
    empty_text = "Nothing here yet."
    """Says why the list is empty and what to do; shown by templates/admin/userdb/change_list.html."""
    export_also: tuple[str, ...] = ()
    """Columns of related rows that an export has beside the table's own."""
    by_identity = ""
    """The column that leads to an alert's identity: a search looks for its name, tenant or fingerprint."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        return BoundedChangeList

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        if self.by_identity and search_term:
            return search(request, queryset, self.by_identity, search_term), False
        return super().get_search_results(request, queryset, search_term)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.export))
        return [path("export/", view, name=f"userdb_{self.opts.model_name}_export"), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the list, as it is filtered, as CSV; 403 without the permission to view it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            changelist = admin.ModelAdmin.get_changelist_instance(self, request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect("..")
        filters = {name: values for name, values in sorted(request.GET.lists()) if any(values)}
        name = "all rows" if not filters else request.GET.urlencode()
        audit.record_of_many(request.user.get_username(), "export", self.model, name, {"filters": filters})
        return export.response(changelist.get_queryset(request), self.export_also)


class ClosedFilter(admin.SimpleListFilter):
    """A filter over a closed set. Django's own asks for the distinct values: a walk through the whole table at each page."""

    words: tuple[str, ...]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


def closed_filter(column: str, words: tuple[str, ...]) -> type[ClosedFilter]:
    """Return the filter of `column` (a lookup path) over `words`."""
    title = column.rpartition("__")[2].replace("_", " ")
    return type("Filter", (ClosedFilter,), {"title": title, "parameter_name": column, "words": words})


class HistoryAdmin(_Page):
    """Rows that the chain writes: to be read, never edited. A page shows every column, those that the database fills too."""

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.fields or [field.name for field in self.opts.concrete_fields if not field.primary_key]

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class HistoryInline(admin.TabularInline):  # type: ignore[type-arg]
    """A part of a history page."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AuditedAdmin(_Page):
    """Configuration: each addition, change and deletion leaves an `AuditEntry`, in the same transaction."""

    def audit_picture(self, obj: Model | None) -> dict[str, Any] | None:
        """Return what the audit shows of a row; never a secret's value."""
        return audit.picture(obj)

    def audit_note(self, form: ModelForm[Any]) -> dict[str, Any]:
        """Return what the audit says of an edit beside the row's own values."""
        return {}

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Lead to the row's audit entries: Django's own history lacks what commands did, and the values."""
        if not request.user.has_perm("userdb.view_auditentry"):
            return super().history_view(request, object_id, extra_context)
        asked = QueryDict(mutable=True)
        asked.update({"kind": str(self.opts.model_name), "object_id": unquote(object_id)})
        return HttpResponseRedirect(f"{reverse('admin:userdb_auditentry_changelist')}?{asked.urlencode()}")

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        before = self.audit_picture(type(obj)._default_manager.filter(pk=obj.pk).first()) if change else None
        super().save_model(request, obj, form, change)
        action = "change" if change else "add"
        obj.refresh_from_db()
        after = {**(self.audit_picture(obj) or {}), **self.audit_note(form)}
        audit.record(request.user.get_username(), action, obj, before, after)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.record(request.user.get_username(), "delete", obj, old=self.audit_picture(obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        with transaction.atomic(using=alias()):  # Django wraps its pages in one, but no action
            for obj in queryset:
                self.delete_model(request, obj)
