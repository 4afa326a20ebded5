"""Three groups with their permissions, made by `migrate`: viewer, operator, administrator. Called by Django's post_migrate.

What an administrator adds to a group stays, and what was taken away stays away: a group gets its permissions when it is
made, and later those that a new release brings.
"""

import re
from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions

_UNSEEN = ("reportertoken",)
"""Tables that a viewer does not see: who may report is the administrators' business."""
_ACTIONS = ("silence_alert", "acknowledge_alert", "resend_notification", "replay_webhookevent", "send_test_channel")
_CONFIGURATION = ("channel", "alertpolicy", "tenant", "reportertoken")

_VIEWER = re.compile(rf"userdb\.view_(?!(?:{'|'.join(_UNSEEN)})$)\w+")
_OPERATOR = re.compile(rf"{_VIEWER.pattern}|userdb\.(?:{'|'.join(_ACTIONS)})")
_ADMINISTRATOR = re.compile(
    rf"{_OPERATOR.pattern}|userdb\.view_reportertoken|userdb\.(?:add|change|delete)_(?:{'|'.join(_CONFIGURATION)})"
    r"|auth\.(?:add|change|delete|view)_user|auth\.view_group|axes\.(?:view|delete)_accessattempt"
)
ROLES = {"viewer": _VIEWER, "operator": _OPERATOR, "administrator": _ADMINISTRATOR}
"""Which permissions, written `application.codename`, a group is given."""
APPLICATIONS = ("userdb", "auth", "axes")


def after_migrate(app_config: Any, using: str, apps: Any = installed, verbosity: int = 1, **_: Any) -> None:
    """Make the groups and give them what they lack of this application's permissions. Does nothing where it is no news."""
    if app_config.label not in APPLICATIONS:
        return
    try:
        groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:
        return  # only a part of the applications was migrated: the users' tables are not there
    before = set(_of(permissions, using, app_config.label))
    # Django's own call for this application may come after this one
    create_permissions(app_config, verbosity=verbosity, interactive=False, using=using, apps=apps)
    known = {app_config.label: _of(permissions, using, app_config.label)}
    new = {name: row for name, row in known[app_config.label].items() if name not in before}
    for role, wanted in ROLES.items():
        group, made = groups.objects.using(using).get_or_create(name=role)
        given = new
        if made:  # its application may have been migrated by a release that knew no roles
            given = {n: row for label in APPLICATIONS for n, row in _of(permissions, using, label).items()}
        group.permissions.add(*(row for name, row in given.items() if wanted.fullmatch(name)))


def _of(permissions: Any, using: str, label: str) -> dict[str, Any]:
    """Return an application's permissions by `application.codename`."""
    rows = permissions.objects.using(using).filter(content_type__app_label=label)
    return {f"{label}.{row.codename}": row for row in rows}
