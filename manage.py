#!/usr/bin/env python
"""Django's commands on the bridge's settings: migrate, createsuperuser, check."""

import os
import sys

from runtime.flags import exit_codes
from runtime.settings import SettingsError


def run() -> int:
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError) as error:  # the latter is MySQL's word for a table that is not there
        from userdb.health import cure

        raise SettingsError(cure(error)) from error
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alert_bridge.settings")
    sys.exit(exit_codes("manage.py", run))
