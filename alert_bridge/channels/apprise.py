"""Whatever the library Apprise reaches: SMS providers and some hundred services, each by one URL (appriseit.com).

Thin: Apprise says only whether a message went out, so each failure may be temporary. It runs in a process of its own
(`apprise_process.py`), which is killed at the deadline and may connect to what every channel may.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import unquote

from alert_bridge.channels import addresses, http
from alert_bridge.channels.base import (
    ChannelKind,
    Message,
    PermanentError,
    Receipt,
    Setting,
    TemporaryError,
    send_deadline,
)

MISSING = "the library Apprise is not installed: pip install 'mission-monitor[apprise]'"
SETTINGS = (
    Setting(
        "url", "Apprise URL", "One: twilio://…, msteams://…, json://…; see github.com/caronc/apprise.", secret=True
    ),
)
_KEPT = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PYTHONPATH", "VIRTUAL_ENV")
"""What the process inherits: no credential of the bridge, no proxy of the environment."""


def check(values: Mapping[str, str]) -> None:
    """Raise ValueError when the library is missing or the URL is none."""
    if find_spec("apprise") is None:
        raise ValueError(f"url: {MISSING}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", values["url"]):
        raise ValueError("url: write one Apprise URL, service://…")


def parts_of(url: str) -> list[str]:
    """Return the texts in which Apprise or the service may repeat a part of the URL: any of it may be a key."""
    pieces = [piece for piece in re.split(r"[/:@?&=,]+", url) if len(piece) > 3]
    return sorted({url, *pieces, *(unquote(piece) for piece in pieces)}, key=len, reverse=True)


def send(values: Mapping[str, str], message: Message, deadline: float | None = None) -> Receipt:
    """Let Apprise send; raise DeliveryError."""
    seconds = deadline or send_deadline()
    proxy = "".join(http.PROXY.values()[:1])
    order = {
        "url": values["url"],
        "title": message.title,
        "body": message.text,
        "kind": {"resolved": "success", "test": "info"}.get(message.kind, "failure"),
        "networks": [str(network) for network in addresses.allowed_networks()],
        "proxy": proxy,
    }
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    if proxy:
        environment |= {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    command = [sys.executable, "-m", "alert_bridge.channels.apprise_process"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(order).encode(),
            env=environment,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TemporaryError("timeout", f"not finished within {seconds:g} s") from None
    return _verdict(done.returncode, done.stdout)


def _verdict(code: int, output: bytes) -> Receipt:
    try:
        said = json.loads(output)
    except ValueError:
        # what it wrote to its standard error may hold the URL
        raise TemporaryError("internal", f"Apprise's process ended with {code}") from None
    match said["result"]:
        case "sent":
            return Receipt("sent", said["log"])
        case "private_address":
            raise PermanentError("private_address", said["log"])
        case "unknown":
            raise PermanentError("misconfigured", f"Apprise knows no such URL. {said['log']}".strip())
        case _:
            raise TemporaryError("server_error", said["log"] or "Apprise could not send it and does not say why")


KIND = ChannelKind("apprise", "Other: SMS and more (Apprise)", SETTINGS, send, check, parts_of)
