"""WeCom's group robot: markdown (developer.work.weixin.qq.com, "group robot"). Its URL's key is all that it asks for.

At most 20 messages a minute, 4096 bytes of UTF-8 in a markdown message.
"""

import json
import re
from collections.abc import Mapping

from alert_bridge.channels import answers, http, markup
from alert_bridge.channels.base import ChannelKind, Message, Receipt, Setting

LIMIT = 4096
CODES = answers.Codes(
    ("errcode",),
    ("errmsg",),
    # -1: busy. 45009: too often. 45033: too many at once
    {-1: "server_error", 45009: "rate_limited", 45033: "rate_limited"},
    {45009: 60.0},  # the limit is of a minute
)
SETTINGS = (Setting("url", "Webhook URL", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…", secret=True),)
_DIALECT = markup.Dialect(
    # it knows no escapes: an invisible space takes the meaning from what would be a link, a mention, a font or emphasis
    escape=lambda text: re.sub(r"([\[<*`]|^[#>])", "\\1\u200b", text),
    heading="**{text}**",
    bold="**{text}**",
    link="[{name}]({url})",
)


def check(values: Mapping[str, str]) -> None:
    """Raise ValueError when the URL is none."""
    http.check_url("url", values["url"])


def send(values: Mapping[str, str], message: Message) -> Receipt:
    """POST the message; raise DeliveryError."""
    text = markup.write(message.parts, _DIALECT, lambda text: len(text.encode()) <= LIMIT)
    body = json.dumps({"msgtype": "markdown", "markdown": {"content": text}}, ensure_ascii=False).encode()
    return answers.verdict(http.exchange(values["url"], body, {"Content-Type": "application/json"}), CODES)


KIND = ChannelKind("wecom", "WeCom (robot of a group)", SETTINGS, send, check, per_minute=20)
