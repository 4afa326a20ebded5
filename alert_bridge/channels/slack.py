"""Slack's incoming webhook: one text of mrkdwn (docs.slack.dev, "sending messages using incoming webhooks").

Taken is what is answered with the text `ok`. 4xx with a word (invalid_payload, no_service, channel_is_archived, ...) is
final, 429 with Retry-After is not: about one message a second. 4,000 characters a text is what Slack asks for.
"""

import json
from collections.abc import Mapping

from alert_bridge.channels import http, markup
from alert_bridge.channels.base import ChannelKind, Message, Receipt, Setting, TemporaryError

LIMIT = 4_000
SETTINGS = (Setting("url", "Webhook URL", "https://hooks.slack.com/services/…", secret=True),)


def _escape(text: str) -> str:
    # these three are all that Slack's documents ask for; the invisible space keeps emphasis from spreading
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("*", "*\u200b").replace("`", "`\u200b").replace("~", "~\u200b")


_DIALECT = markup.Dialect(escape=_escape, heading="*{text}*", bold="*{text}*", link="<{url}|{name}>")


def check(values: Mapping[str, str]) -> None:
    """Raise ValueError when the URL is none."""
    http.check_url("url", values["url"])


def send(values: Mapping[str, str], message: Message) -> Receipt:
    """POST the message; raise DeliveryError."""
    text = markup.write(message.parts, _DIALECT, lambda text: len(text) <= LIMIT)
    content = {"text": text, "unfurl_links": False, "unfurl_media": False}
    body = json.dumps(content, ensure_ascii=False).encode()
    reply = http.exchange(values["url"], body, {"Content-Type": "application/json"})
    receipt = http.judge(reply)
    if receipt.answer.strip() != "ok":
        raise TemporaryError("server_error", f"not ok: {receipt.answer}", receipt.status)
    return receipt


KIND = ChannelKind("slack", "Slack (incoming webhook)", SETTINGS, send, check, per_minute=60)
