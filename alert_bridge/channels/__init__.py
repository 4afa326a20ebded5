"""Kinds of destinations, one small file each, all of the same shape. Called by `delivery.py`; a new kind is one more line."""

from alert_bridge.channels import apprise, dingtalk, email, feishu, slack, webhook, wecom
from alert_bridge.channels.base import ChannelKind

KINDS: dict[str, ChannelKind] = {
    kind.name: kind
    for kind in (email.KIND, webhook.KIND, dingtalk.KIND, feishu.KIND, wecom.KIND, slack.KIND, apprise.KIND)
}

__all__ = ["KINDS"]
