"""The command `gateway-client`: `run` (wrap a simulator), `serve` (exporter and sender), `status` and `flush`.

`run` starts for each simulation: each command imports its own modules only, and only its own flags are made.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.flags import add_listen_flag, add_log_flags, add_version, duration, exit_codes
from runtime.settings import SettingsError

PROGRAM = "gateway-client"


def run(arguments: argparse.Namespace) -> int:
    """Run one simulation."""
    from exporters.gateway_client import runs

    command = arguments.command_line
    options = runs.Options(
        command=command,
        task=arguments.task or os.environ.get("GATEWAY_TASK", "").strip() or Path(command[0]).name,
        timeout=arguments.timeout.total_seconds() if arguments.timeout else None,
        grace=arguments.grace.total_seconds(),
        federation=arguments.federation or os.environ.get("GATEWAY_FEDERATION", "").strip(),
        rules=arguments.rules or os.environ.get("GATEWAY_RULES", "").strip(),
    )
    try:
        return runs.run(options)
    except SettingsError as error:  # a rules file that can't be used is wrong usage, found before anything runs
        sys.stderr.write(f"{PROGRAM} run: {error}\n")
        return 2


def serve(arguments: argparse.Namespace) -> int:
    """Run the exporter and the sender."""
    from exporters.gateway_client import serving
    from runtime import logs

    logs.configure(arguments.log_level, arguments.log_format)
    return serving.serve(arguments.web_listen_address, arguments.ca)


def status(arguments: argparse.Namespace) -> int:
    """Show the spool."""
    from exporters.gateway_client import status as spool_status

    return spool_status.show(arguments.json)


def flush(arguments: argparse.Namespace) -> int:
    """Send now."""
    from exporters.gateway_client import status as spool_status
    from runtime import logs

    logs.configure(arguments.log_level, arguments.log_format)
    return spool_status.flush(arguments.wait.total_seconds(), arguments.quarantined)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        f"{PROGRAM} run [--task NAME] [--timeout TIME] [--grace TIME] [--federation ID] [--rules FILE] -- COMMAND ..."
    )
    parser.add_argument("--task", default="", help="what is run; default: GATEWAY_TASK, else the command's file name")
    parser.add_argument("--timeout", type=duration, help="ends the run after 90s, 30m, 1h; default: never")
    parser.add_argument("--grace", type=duration, default=duration("30s"), help="from SIGTERM to SIGKILL; default: 30s")
    parser.add_argument("--federation", default="", metavar="ID", help="the co-simulation it is part of")
    parser.add_argument("--rules", default="", metavar="FILE", help="patterns of your own that name failures")
    parser.add_argument("command_line", nargs="*", metavar="COMMAND", help="the program and its arguments, after --")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add_listen_flag(parser, ":9810", "metrics and health")
    parser.add_argument("--ca", default="", metavar="FILE", help="certificates that the gateway's is checked against")
    add_log_flags(parser)


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_flush(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", type=duration, default=duration("30s"), help="at most so long; default: 30s")
    parser.add_argument("--quarantined", action="store_true", help="send again what the gateway refused, too")
    add_log_flags(parser)


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], Callable[[argparse.ArgumentParser], None], str]] = {
    "run": (run, _add_run, "run a simulator, count the run, report its failure"),
    "serve": (serve, _add_serve, "expose the metrics and send the reports"),
    "status": (status, _add_status, "what waits, what was dropped, how the last try ended"),
    "flush": (flush, _add_flush, "send what waits now; exit 1 when something still waits"),
}


def parser(asked: str) -> argparse.ArgumentParser:
    """Return the parser, with the flags of the command that is asked for."""
    made = argparse.ArgumentParser(PROGRAM, description="The tenant's side: business runs counted, failures reported.")
    add_version(made)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND", prog=PROGRAM)
    for name, (_, add_flags, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name == asked:
            add_flags(command)
            command.set_defaults(wrong=command.error)
    return made


def _split(given: list[str]) -> tuple[list[str], list[str]]:
    place = given.index("--") if "--" in given else len(given)
    return given[:place], given[place + 1 :]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and leave the process with its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    # what stands after the first -- is the simulator's, whatever it looks like
    own, others = _split(given)
    arguments, unknown = parser(given[0] if given else "").parse_known_args(own)
    if unknown:
        arguments.wrong(f"unknown: {' '.join(unknown)}")
    if arguments.command == "run":
        arguments.command_line += others
        if not arguments.command_line:
            arguments.wrong("no command given")
    elif others:
        arguments.wrong(f"unknown: {' '.join(others)}")
    do = _COMMANDS[arguments.command][0]
    code = exit_codes(f"{PROGRAM} {arguments.command}", lambda: do(arguments))
    sys.stdout and sys.stdout.flush()
    sys.stderr and sys.stderr.flush()
    # the interpreter's own end would close the spool, and SQLite would then sync it to disk for nothing
    os._exit(code)
