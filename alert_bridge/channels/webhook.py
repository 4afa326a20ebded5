"""A signed webhook: one JSON document by POST, with an idempotency key.

`X-Mission-Signature: v1=<hex>` is HMAC-SHA256 (RFC 2104) with the channel's secret over `<timestamp>.<body>`, the timestamp
being `X-Mission-Timestamp` (seconds). A receiver checks it, refuses old timestamps, and takes an `Idempotency-Key` once.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping

from alert_bridge.channels import http
from alert_bridge.channels.base import ChannelKind, Message, Receipt, Setting

SETTINGS = (
    Setting("url", "URL", "Kept encrypted: whoever knows it can post there.", secret=True),
    Setting("secret", "Signing secret", "Each request is signed with it (HMAC-SHA256).", secret=True),
)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of X-Mission-Signature."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def check(values: Mapping[str, str]) -> None:
    """Raise ValueError when the URL is none."""
    http.check_url("url", values["url"])


def send(values: Mapping[str, str], message: Message) -> Receipt:
    """POST the message; raise DeliveryError."""
    body = json.dumps(message.document, ensure_ascii=False).encode()
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": message.key,
        "User-Agent": "mission-monitor",
        "X-Mission-Timestamp": timestamp,
        "X-Mission-Signature": signature(values["secret"], timestamp, body),
    }
    return http.post(values["url"], body, headers)


KIND = ChannelKind("webhook", "Webhook (JSON, signed)", SETTINGS, send, check)
