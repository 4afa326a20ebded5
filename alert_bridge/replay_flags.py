"""The arguments of `alert-bridge replay`, apart from the work: `cli.py` reads them before Django is set up."""

import argparse
import re
from dataclasses import dataclass
from datetime import datetime

from runtime.flags import duration
from runtime.texts import parse_time

_IDS = re.compile(r"#?([0-9]{1,18})(?:(-)#?([0-9]{1,18})?)?")


@dataclass(frozen=True, slots=True)
class Ids:
    """One webhook, or those from the first to the last; without a last, all from the first on."""

    first: int
    last: int | None

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last or ''}"


def ids(text: str) -> Ids:
    """Parse `812`, `812-900` or `812-`; raise ArgumentTypeError otherwise."""
    match = _IDS.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no webhook's number such as 812, 812-900 or 812-")
    first = int(match[1])
    last = first if match[2] is None else int(match[3]) if match[3] else None
    if last is not None and last < first:
        raise argparse.ArgumentTypeError(f"{text!r}: the last is before the first")
    return Ids(first, last)


def since(text: str) -> datetime | str:
    """Parse an RFC 3339 time, or a length of time such as `2h`, which is kept as text: it counts by userdb's clock."""
    try:
        return parse_time(text)
    except ValueError:
        duration(text)
        return text


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", type=ids, metavar="ID", help="812, 812-900 or 812-; default: all")
    parser.add_argument("--all", action="store_true", help="also what was applied when it came: for an emptied userdb")
    parser.add_argument("--since", type=since, help="received since: 2h, 3d, or a time as in RFC 3339")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
