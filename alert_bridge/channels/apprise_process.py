"""The process in which Apprise sends one message: an order as JSON on standard input, what became of it on standard output.

Started by `apprise.py`. An audit hook (PEP 578) checks each address before it is connected to, whichever library of
Apprise's asks for it: a name that is looked up anew is checked anew.
"""

import ipaddress
import json
import logging
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from alert_bridge.channels.addresses import Network, is_allowed
from alert_bridge.channels.base import ANSWER_LENGTH


class Refused(OSError):
    """A connection to an address that no channel may reach."""


class Guard:
    """Refuses connections, and remembers the first address that it refused."""

    def __init__(self, networks: list[Network], proxies: set[str]) -> None:
        self.refused = ""
        self._networks, self._proxies = networks, proxies

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return
        address = arguments[1]
        if not isinstance(address, tuple):  # None: connected before; a path: a local socket such as D-Bus'
            if address is None:
                return
            self._refuse("a local socket")
        host = str(address[0])
        if host not in self._proxies and not self._allowed(host):
            self._refuse(host)

    def _allowed(self, host: str) -> bool:
        try:
            return is_allowed(host, self._networks)
        except ValueError:  # a name: which address it means is not said
            return False

    def _refuse(self, what: str) -> None:
        self.refused = self.refused or what
        raise Refused(f"{what} is no public address")


def _addresses(proxy: str) -> set[str]:
    """Return the addresses of CHANNEL_PROXY: it may be anywhere."""
    parts = urlsplit(proxy)
    if not parts.hostname:
        return set()
    return {str(entry[4][0]) for entry in socket.getaddrinfo(parts.hostname, parts.port or 80)}


class _Log(logging.Handler):
    """Keeps what Apprise warns of: it returns no more than yes or no."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    order = json.load(sys.stdin)
    guard = Guard([ipaddress.ip_network(text) for text in order["networks"]], _addresses(order["proxy"]))
    sys.addaudithook(guard)
    import apprise

    log = _Log()
    logging.getLogger("apprise").addHandler(log)
    logging.getLogger("apprise").propagate = False
    service = apprise.Apprise.instantiate(order["url"], suppress_exceptions=True)
    if service is None:
        result = "unknown"
    else:
        sender = apprise.Apprise()
        sender.add(service)
        sent = sender.notify(
            order["body"], title=order["title"], notify_type=order["kind"], body_format=apprise.NotifyFormat.TEXT
        )
        result = "sent" if sent else "failed"
    said = " ".join(log.lines)
    if guard.refused and result == "failed":
        result = "private_address"
        said = f"{guard.refused} is no public address, and CHANNEL_ALLOWED_NETWORKS does not name it"
    # enough for the parent, which masks before it cuts
    json.dump({"result": result, "log": said[: 4 * ANSWER_LENGTH]}, sys.stdout)


if __name__ == "__main__":
    main()
