"""The command `route-management`: `web` (reports API), `pods` (pod exporter), `token` (who may report)."""

import argparse
import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta

from exporters.route_management.pods import flags as pod_flags
from runtime import logs
from runtime.build import expose_build_info
from runtime.flags import add_listen_flag, add_log_flags, add_version, duration, exit_codes, threads
from runtime.port import MetricsPort
from runtime.settings import SettingsError

_LONGEST = timedelta(days=36_500)


def _django(must_answer: bool = True) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exporters.route_management.settings")
    import django

    from userdb.health import require_migrated

    django.setup()
    if must_answer:
        require_migrated()


def web(arguments: argparse.Namespace) -> int:
    """Serve the reports API."""
    _django()
    from django.core.wsgi import get_wsgi_application

    from exporters.route_management import known_tenants, reports, request_history
    from userdb import health, serving

    reports.reports_timezone()
    reports.limits()
    known_tenants.read()
    readiness = {"userdb": health.trouble, "site": serving.trouble}
    MetricsPort("route-management web", arguments.metrics_listen_address, readiness).start()
    stop = threading.Event()
    threading.Thread(target=known_tenants.watch, args=(stop,), name="known-tenants", daemon=True).start()
    try:
        serving.serve(get_wsgi_application(), arguments.web_listen_address, arguments.threads, reports.BODY_LIMIT)
    finally:
        stop.set()
        request_history.of_process().close()
    return 0


def pods(arguments: argparse.Namespace) -> int:
    """Serve the pods' metrics, with userdb or without."""
    if not arguments.no_history:
        _django(must_answer=False)
    from exporters.route_management.pods.service import serve

    return serve(arguments)


def token(arguments: argparse.Namespace) -> int:
    """Run one of the token commands."""
    _django()
    from django.db import DatabaseError

    from exporters.route_management import token_commands
    from userdb.transactions import UserdbAway

    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "create": token_commands.create,
        "list": token_commands.show,
        "rotate": token_commands.rotate,
        "revoke": token_commands.revoke,
    }
    try:
        return commands[arguments.action](arguments)
    except (UserdbAway, DatabaseError) as error:
        raise SettingsError(f"nothing was changed: {error}") from error


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("route-management", description="Tenants' reports in, requests counted.")
    add_version(made)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    site = commands.add_parser("web", help="reports API")
    add_listen_flag(site, ":8001", "reports API")
    add_listen_flag(site, ":8111", "metrics and health", "metrics")
    site.add_argument("--threads", type=threads, default=16, help="requests at once; default: 16")
    site.set_defaults(run=web)
    exporter = commands.add_parser("pods", help="pod exporter")
    pod_flags.add(exporter)
    exporter.set_defaults(run=pods)
    _add_token_commands(commands.add_parser("token", help="who may report"))
    add_log_flags(site)
    return made


def _overlap(text: str) -> timedelta:
    time = duration(text)
    if time > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is longer than {_LONGEST.days}d")
    return time


def _lifetime(text: str) -> timedelta:
    time = _overlap(text)
    if not time:
        raise argparse.ArgumentTypeError("a token that has expired from the start is of no use")
    return time


def _note(text: str) -> str:
    if len(text) > 200 or not text.isprintable():
        raise argparse.ArgumentTypeError("a note is one line of at most 200 characters")
    return text


def _add_token_commands(tokens: argparse.ArgumentParser) -> None:
    tokens.set_defaults(run=token)
    actions = tokens.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a token, and the tenant when it is new; prints it once")
    create.add_argument("tenant")
    create.add_argument("--note", type=_note, default="", help="what it is for")
    create.add_argument("--expires", type=_lifetime, help="90d, 24h, 30m; default: never")
    listing = actions.add_parser("list", help="tokens, without the tokens themselves")
    listing.add_argument("tenant", nargs="?")
    rotate = actions.add_parser("rotate", help="make a new one; the others end after the overlap")
    rotate.add_argument("tenant")
    rotate.add_argument("--overlap", type=_overlap, default=duration("24h"), help="default: 24h")
    rotate.add_argument("--note", type=_note, default="", help="what it is for")
    revoke = actions.add_parser("revoke", help="refuse a token from now on")
    revoke.add_argument("hint", help="its first characters, as 'token list' shows them")
    for action in actions.choices.values():
        add_log_flags(action)


def main() -> None:
    arguments = parser().parse_args()
    logs.configure(arguments.log_level, arguments.log_format)
    expose_build_info()
    run: Callable[[argparse.Namespace], int] = arguments.run
    sys.exit(exit_codes(f"route-management {arguments.command}", lambda: run(arguments)))
