"""The command `route-management`: `web` (reports API), `token` (who may report)."""

import argparse
import os
import sys
from collections.abc import Callable

from runtime import logs
from runtime.build import expose_build_info
from runtime.flags import add_listen_flag, add_log_flags, add_version, duration, exit_codes
from runtime.port import MetricsPort


def _django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exporters.route_management.settings")
    import django

    from userdb.health import require_migrated

    django.setup()
    require_migrated()


def web(arguments: argparse.Namespace) -> int:
    """Serve the reports API."""
    _django()
    from django.core.wsgi import get_wsgi_application

    from exporters.route_management import known_tenants, reports
    from userdb import health
    from userdb.serving import serve

    reports.reports_timezone()
    known_tenants.read()
    MetricsPort("route-management web", arguments.metrics_listen_address, {"userdb": health.trouble}).start()
    serve(get_wsgi_application(), arguments.web_listen_address, arguments.threads, reports.BODY_LIMIT)
    return 0


def token(arguments: argparse.Namespace) -> int:
    """Run one of the token commands."""
    _django()
    from exporters.route_management import token_commands

    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "create": token_commands.create,
        "list": token_commands.show,
        "rotate": token_commands.rotate,
        "revoke": token_commands.revoke,
    }
    return commands[arguments.action](arguments)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("route-management", description="Tenants' reports in, requests counted.")
    add_version(made)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    site = commands.add_parser("web", help="reports API")
    add_listen_flag(site, ":8001", "reports API")
    add_listen_flag(site, ":8111", "metrics and health", "metrics")
    site.add_argument("--threads", type=int, default=16, help="requests at once; default: 16")
    site.set_defaults(run=web)
    _add_token_commands(commands.add_parser("token", help="who may report"))
    for command in commands.choices.values():
        add_log_flags(command)
    return made


def _add_token_commands(tokens: argparse.ArgumentParser) -> None:
    tokens.set_defaults(run=token)
    actions = tokens.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a token, and the tenant when it is new; prints it once")
    create.add_argument("tenant")
    create.add_argument("--note", default="", help="what it is for")
    create.add_argument("--expires", type=duration, help="90d, 24h, 30m; default: never")
    listing = actions.add_parser("list", help="tokens, without the tokens themselves")
    listing.add_argument("tenant", nargs="?")
    rotate = actions.add_parser("rotate", help="make a new one; the others end after the overlap")
    rotate.add_argument("tenant")
    rotate.add_argument("--overlap", type=duration, default=duration("24h"), help="default: 24h")
    rotate.add_argument("--note", default="", help="what it is for")
    revoke = actions.add_parser("revoke", help="refuse a token from now on")
    revoke.add_argument("hint", help="its first characters, as 'token list' shows them")


def main() -> None:
    arguments = parser().parse_args()
    logs.configure(arguments.log_level, arguments.log_format)
    expose_build_info()
    run: Callable[[argparse.Namespace], int] = arguments.run
    sys.exit(exit_codes(f"route-management {arguments.command}", lambda: run(arguments)))
