"""Feishu's or Lark's custom bot of a group: a card, signed (open.feishu.cn, "custom bot usage guide").

The signature is HMAC-SHA256 over nothing, with "<timestamp>\\n<secret>" as its key, Base64, in the body beside the timestamp
in seconds, not more than an hour off. At most 100 messages a minute and 5 a second; 20 KB a request.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from alert_bridge.channels import answers, http, markup
from alert_bridge.channels.base import ChannelKind, Message, Receipt, Setting

LIMIT = 20_000
CODES = answers.Codes(
    ("code", "StatusCode"),
    ("msg", "StatusMessage"),
    # 11232: too often. 19021, 19022, 19024: signature or clock, address, keyword; somebody mends the setting
    {11232: "rate_limited", 19021: "login", 19022: "login", 19024: "login"},
)
SETTINGS = (
    Setting("url", "Webhook URL", "https://open.feishu.cn/open-apis/bot/v2/hook/… or larksuite.com", secret=True),
    Setting("secret", "Signing secret", "Of the bot's security settings. Empty: not signed.", True, False),
)
_DIALECT = markup.Dialect(
    # cards take HTML's numeric entities for what would be markup
    escape=lambda text: re.sub(r"[\\`*_{}\[\]()#+!|<>~&-]", lambda found: f"&#{ord(found[0])};", text),
    heading="**{text}**",
    bold="**{text}**",
    link="[{name}]({url})",
)
_COLOURS = {"resolved": "green", "test": "blue"}


def signature(secret: str, timestamp: str) -> str:
    """Return the value of `sign`."""
    digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def check(values: Mapping[str, str]) -> None:
    """Raise ValueError when the URL is none."""
    http.check_url("url", values["url"])


def _body(message: Message, text: str, signing: Mapping[str, str]) -> bytes:
    title = {"tag": "plain_text", "content": message.title}
    card: dict[str, Any] = {
        "config": {"wide_screen_mode": True},
        "header": {"title": title, "template": _COLOURS.get(message.kind, "red")},
        "elements": [{"tag": "markdown", "content": text}],
    }
    return json.dumps({**signing, "msg_type": "interactive", "card": card}, ensure_ascii=False).encode()


def send(values: Mapping[str, str], message: Message) -> Receipt:
    """POST the message; raise DeliveryError."""
    signing = {}
    if values["secret"]:
        timestamp = str(int(time.time()))
        signing = {"timestamp": timestamp, "sign": signature(values["secret"], timestamp)}
    text = markup.write(message.parts, _DIALECT, lambda text: len(_body(message, text, signing)) <= LIMIT)
    reply = http.exchange(values["url"], _body(message, text, signing), {"Content-Type": "application/json"})
    return answers.verdict(reply, CODES)


KIND = ChannelKind("feishu", "Feishu / Lark (bot of a group)", SETTINGS, send, check, per_minute=100)
