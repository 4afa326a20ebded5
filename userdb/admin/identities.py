"""Searches and filters of big tables by what is known of the alert: its name, tenant, fingerprint or severity.

The rows of a million alerts can't be joined with their identities at each page. So the identities come first, along an
index, those that changed last; their rows are the newest of the table. Called by the lists of alerts, changes and messages.
"""

from itertools import product
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.text import smart_split, unescape_string_literal

from userdb.models import Alert, AlertIdentity

LOOKED_AT = 500
"""Identities whose rows are shown. Below 1,000: MariaDB turns longer lists into a table of its own."""
_WORDS = 2


def search(request: HttpRequest, queryset: Any, column: str, term: str) -> Any:
    """Return the rows of `queryset` whose identity (`column`) bears the searched name, tenant or fingerprint, as a whole.

    Two words are an alert's name and a tenant, in either order.
    """
    words = [_plain(word) for word in smart_split(term)]
    if not 0 < len(words) <= _WORDS:
        return queryset.none()
    ways = [dict(zip(names, words, strict=True)) for names in product(("alertname", "tenant"), repeat=len(words))]
    ways = [way for way in ways if len(way) == len(words)]
    if len(words) == 1:
        ways.append({"pk": words[0]})
    return _narrowed(request, queryset, column, [Q(**way) for way in ways])


def with_severity(request: HttpRequest, queryset: Any, column: str, severity: str) -> Any:
    """Return the rows of `queryset` whose identity has that severity."""
    if request.GET.get("q"):  # the search has few identities left
        return queryset.filter(**{f"{column}__severity": severity})
    return _narrowed(request, queryset, column, [Q(severity=severity)])


def _plain(word: str) -> str:
    quoted = word[:1] in "\"'" and len(word) > 1 and word[0] == word[-1]
    return unescape_string_literal(word) if quoted else word


def _narrowed(request: HttpRequest, queryset: Any, column: str, ways: list[Q]) -> Any:
    if queryset.model is Alert and request.GET.get("state__exact") == Alert.State.FIRING:
        # what fires is few, and none of it may be missing
        firing = AlertIdentity.objects.filter(state=AlertIdentity.State.FIRING)
        keys = [key for way in ways for key in firing.filter(way).values_list("pk", flat=True)]
        return queryset.filter(**{f"{column}__in": keys})
    return queryset.filter(**{f"{column}__in": _newest(ways)})


def _newest(ways: list[Q]) -> list[str]:
    """Return the fingerprints that fit any of `ways`, those that changed last first; one statement for each."""
    found: dict[str, Any] = {}
    for way in ways:
        rows = AlertIdentity.objects.filter(way).order_by("-updated_at").values_list("pk", "updated_at")
        found |= dict(rows[:LOOKED_AT])
    return sorted(found, key=lambda key: found[key], reverse=True)[:LOOKED_AT]
