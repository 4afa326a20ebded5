"""The arguments of `alert-bridge resend`, apart from the work: `cli.py` reads them before Django is set up."""

import argparse

from alert_bridge.channels.base import REASONS


def add(parser: argparse.ArgumentParser) -> None:
    # one of them has to be said: all dead letters at once may be many
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", type=int, default=[], metavar="ID", help="numbers of notifications")
    which.add_argument("--all", action="store_true", help="every dead letter, or every one of --channel and --reason")
    parser.add_argument("--channel", default="", metavar="NAME", help="of this channel alone, by its name")
    parser.add_argument("--reason", default="", choices=REASONS, help="that died of this reason alone")
    parser.add_argument("--dry-run", action="store_true", help="say which, and change nothing")
