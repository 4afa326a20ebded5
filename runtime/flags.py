"""Command-line conventions of every process: those of Prometheus' own programs.

`--web.listen-address`, `--log.level`, `--log.format`, `--version`; exit 0, 1 for trouble, 2 for wrong usage.
A program's `main` builds a parser with these helpers and runs it inside `exit_codes`.
"""

import argparse
import re
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from runtime.settings import SettingsError

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|[smhd]?)")

_NUMBER = re.compile(r"[0-9]{1,5}")


class Address(NamedTuple):
    """Where a port listens; an empty host is every interface."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{Address(self.host or '127.0.0.1', self.port)}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Parse `host:port`, `:port` or `[v6]:port`; raise ArgumentTypeError for anything else (source: Go's net.Listen)."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (
        not colon
        or not _NUMBER.fullmatch(port)
        or int(port) > 65535
        or (":" in host and bare == host)
        or set("[]") & set(bare)
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, [IPv6]:PORT or :PORT")
    return Address(bare, int(port))


def duration(text: str) -> timedelta:
    """Parse `500ms`, `30s`, `5m`, `24h` or `90d`, a bare number being seconds; raise ArgumentTypeError otherwise."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 30s, 5m, 24h or 90d")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


class _Version(argparse.Action):
    """Prints the version; looks it up only then (the look-up takes 15 ms, which `gateway-client run` has not)."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from runtime.build import version

        sys.stdout.write(f"{parser.prog}, version {version()}\n")
        parser.exit()


def threads(text: str) -> int:
    """Parse a number of threads; raise ArgumentTypeError for none at all, or more than one process is good for."""
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000")
    return int(text)


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")


def add_log_flags(parser: argparse.ArgumentParser) -> None:
    from runtime.logs import FORMATS, LEVELS  # logging takes 10 ms to import

    parser.add_argument("--log.level", dest="log_level", choices=LEVELS, default="info", help="default: info")
    parser.add_argument("--log.format", dest="log_format", choices=FORMATS, default="logfmt", help="default: logfmt")


def add_listen_flag(parser: argparse.ArgumentParser, default: str, what: str, flag: str = "web") -> None:
    parser.add_argument(
        f"--{flag}.listen-address",
        dest=f"{flag}_listen_address",
        type=address,
        default=address(default),
        metavar="HOST:PORT",
        help=f"{what}; default: {default}",
    )


def exit_codes(program: str, run: Callable[[], int]) -> int:
    """Run and return its exit code; a SettingsError or a port in use becomes one line on standard error and 1."""
    try:
        return run()
    except SettingsError as error:
        sys.stderr.write(f"{program}: {error}\n")
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        # "[Errno 98]" before the sentence says nothing to an operator
        sys.stderr.write(f"{program}: {error if error.filename else error.strerror}\n")
    return 1


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set: the sign to finish what is under way and exit 0."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
