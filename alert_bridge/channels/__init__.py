"""Kinds of destinations, one small file each, all of the same shape. Called by `relay.py`; a new kind is one more line."""

from alert_bridge.channels import email, webhook
from alert_bridge.channels.base import ChannelKind

KINDS: dict[str, ChannelKind] = {kind.name: kind for kind in (email.KIND, webhook.KIND)}

__all__ = ["KINDS"]
