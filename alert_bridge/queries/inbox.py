"""Which earlier webhook a webhook without changes repeats: the last of its group and receiver that came before it.

Called by the list of webhooks, for the rows that it shows. One statement; bodies are not read.
"""

from collections.abc import Iterable

from django.db.models.functions import MD5

from userdb.models import WebhookEvent

LOOKED_BACK = 1000
"""Webhooks before the oldest shown among which they are looked for."""


def repeats(shown: Iterable[WebhookEvent]) -> dict[int, int]:
    """Return {id of an unchanged webhook: id of the one that it repeats}; one that is not found is not named.

    It is the last one of the same group before it that changed something, or else the first known of the group.
    """
    ids = [row.pk for row in shown if row.result == WebhookEvent.Result.UNCHANGED]
    if not ids:
        return {}
    rows = WebhookEvent.objects.filter(pk__gt=min(ids) - LOOKED_BACK, pk__lte=max(ids)).order_by("pk")
    last: dict[tuple[str, str], int] = {}
    found: dict[int, int] = {}
    asked = set(ids)
    for number, receiver, group, changes in rows.values_list("pk", "receiver", MD5("group_key"), "changes"):
        if number in asked and (receiver, group) in last:
            found[number] = last[receiver, group]
        if changes or (receiver, group) not in last:
            last[receiver, group] = number
    return found
