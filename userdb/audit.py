"""The record of who changed what: one `AuditEntry` a change of configuration or action of a person.

Called by the admin pages and by commands that people run. Values of secrets never get here: callers name what changed.
"""

import getpass
import os
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from userdb.models import AuditEntry

HIDDEN = frozenset({"secret_token", "hash", "password"})


def command_line() -> str:
    """Return the name under which a command that somebody runs is on record."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        name = f"user {os.getuid()}"
    return f"{name} (command line)"


def picture(instance: Model | None) -> dict[str, Any] | None:
    """Return the plain values of a row without its secrets, None for no row."""
    if instance is None:
        return None
    names = [f.name for f in instance._meta.concrete_fields if f.name not in HIDDEN]
    values = {name: instance.serializable_value(name) for name in names}
    # JSON has no dates: the encoder's text is what a reader wants
    encoder = DjangoJSONEncoder()
    return {
        k: v if isinstance(v, (str, int, float, bool, dict, list, type(None))) else encoder.default(v)
        for k, v in values.items()
    }


def record(
    by: str,
    action: str,
    instance: Model,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    """Write one entry; of a change only the fields that differ are kept."""
    if old is not None and new is not None:
        differing = [k for k in {*old, *new} if old.get(k) != new.get(k)]
        old, new = {k: old.get(k) for k in sorted(differing)}, {k: new.get(k) for k in sorted(differing)}
    AuditEntry.objects.create(
        by=by[:150],
        action=action,
        kind=instance._meta.model_name or "",
        object_id=str(instance.pk),
        name=str(instance)[:255],
        old=old,
        new=new,
    )


def record_of_many(by: str, action: str, table: type[Model], name: str, new: Mapping[str, Any]) -> None:
    """Write one entry of an action on several rows of a table: `name` says on which, `new` what came of it."""
    kind = table._meta.model_name or ""
    AuditEntry.objects.create(by=by[:150], action=action, kind=kind, object_id="", name=name[:255], new=new)
