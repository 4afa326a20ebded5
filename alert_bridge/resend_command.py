"""`alert-bridge resend`: which dead letters, and what it says. Called by `cli.py`; the work is `resend.py`'s.

On standard output one line a dead letter of a dry run, then how many. Those of channels that are off stay dead.
"""

import argparse
import sys

from django.db import DatabaseError, InterfaceError

from alert_bridge import resend
from runtime.settings import SettingsError
from userdb import audit
from userdb.models import Channel
from userdb.transactions import UserdbAway


def run(arguments: argparse.Namespace) -> int:
    """Send again what the arguments name; return 0, or raise SettingsError when there is no such channel, or userdb is away."""
    try:
        return _run(arguments)
    except (UserdbAway, DatabaseError, InterfaceError) as error:
        raise SettingsError(f"{error}; run it again when userdb is back: what is owed again stays so") from error


def _run(arguments: argparse.Namespace) -> int:
    if arguments.channel and not Channel.objects.filter(name=arguments.channel).exists():
        raise SettingsError(f"--channel: there is no channel {arguments.channel}")
    rows = resend.dead(arguments.channel, arguments.reason)
    if arguments.ids:
        rows = resend.chosen(arguments.ids, arguments.channel, arguments.reason)
    if not arguments.dry_run:
        sys.stdout.write(f"{resend.resend(rows, audit.command_line())} messages are owed again\n")
        return 0
    found = list(rows.filter(channel__enabled=True).order_by("pk").select_related("channel", "identity"))
    for row in found:
        sys.stdout.write(f"#{row.pk} {row.kind} {row.identity or 'of several'} to {row.channel}: {row.reason}\n")
    sys.stdout.write(f"{len(found)} messages would be owed again\n")
    return 0
