"""DingTalk's custom robot of a group: signed markdown (open.dingtalk.com, "custom robot access").

The signature is HMAC-SHA256 over "<timestamp>\\n<secret>" with the secret, Base64, beside a timestamp in milliseconds not
more than an hour off. At most 20 messages a minute, else the robot is silenced for 10 minutes; 20,000 bytes a message.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from urllib.parse import quote_plus

from alert_bridge.channels import answers, http, markup
from alert_bridge.channels.base import ChannelKind, Message, Receipt, Setting

LIMIT = 20_000
CODES = answers.Codes(
    ("errcode",),
    ("errmsg",),
    # -1: busy. 130101, 410100: too fast. 310000: keyword, signature or address; somebody mends the setting
    {-1: "server_error", 130101: "rate_limited", 410100: "rate_limited", 310000: "login"},
    {130101: 600.0, 410100: 600.0},
)
SETTINGS = (
    Setting("url", "Webhook URL", "https://oapi.dingtalk.com/robot/send?access_token=…", secret=True),
    Setting("secret", "Signing secret", "SEC…, of the robot's security settings. Empty: not signed.", True, False),
)
_DIALECT = markup.Dialect(
    escape=lambda text: re.sub(r"([\\`*_{}\[\]()#+!|<>~-])", r"\\\1", text),
    heading="#### {text}",
    bold="**{text}**",
    link="[{name}]({url})",
    newline="\n\n",  # one line feed is a space
)


def signed(url: str, secret: str, milliseconds: int) -> str:
    """Return the URL with timestamp and signature."""
    digest = hmac.new(secret.encode(), f"{milliseconds}\n{secret}".encode(), hashlib.sha256).digest()
    join = "&" if "?" in url else "?"
    return f"{url}{join}timestamp={milliseconds}&sign={quote_plus(base64.b64encode(digest))}"


def check(values: Mapping[str, str]) -> None:
    """Raise ValueError when the URL is none."""
    http.check_url("url", values["url"])


def _body(title: str, text: str) -> bytes:
    content = {"msgtype": "markdown", "markdown": {"title": title, "text": text}}
    return json.dumps(content, ensure_ascii=False).encode()


def send(values: Mapping[str, str], message: Message) -> Receipt:
    """POST the message; raise DeliveryError."""
    text = markup.write(message.parts, _DIALECT, lambda text: len(_body(message.title, text)) <= LIMIT)
    url, secret = values["url"], values["secret"]
    if secret:
        url = signed(url, secret, int(time.time() * 1000))
    reply = http.exchange(url, _body(message.title, text), {"Content-Type": "application/json; charset=utf-8"})
    return answers.verdict(reply, CODES)


KIND = ChannelKind("dingtalk", "DingTalk (robot of a group)", SETTINGS, send, check, per_minute=20)
