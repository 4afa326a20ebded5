"""What a chat service's JSON answer means: the code in its body decides, for these services say 200 to what they refuse.

Used by the channels of DingTalk, Feishu and WeCom, each with its own table of codes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from alert_bridge.channels.http import Reply, judge


@dataclass(frozen=True, slots=True)
class Codes:
    """How a service says how it went."""

    code: tuple[str, ...]
    """Names of the field with the code, the first that is there counts; 0 is success."""
    text: tuple[str, ...]
    temporary: Mapping[int, str] = field(default_factory=dict)
    """Code -> reason of what may be taken later."""
    wait: Mapping[int, float] = field(default_factory=dict)
    """Code -> seconds to wait where the service says how long in its documents, not in its answer."""


def verdict(reply: Reply, codes: Codes) -> Receipt:
    """Return the Receipt of a message that was taken; raise what every other answer means."""
    body = _object(reply.text)
    code = next((found for name in codes.code if isinstance(found := body.get(name), int)), None)
    if code is None:
        if 200 <= reply.status < 300:  # a proxy's page, or an answer that broke off: nobody said that it was taken
            raise TemporaryError("server_error", f"no {codes.code[0]} in: {reply.text}", str(reply.status))
        return judge(reply)
    text = next((found for name in codes.text if isinstance(found := body.get(name), str)), "")
    status = f"{reply.status} {code}"
    if code == 0 and 200 <= reply.status < 300:
        return Receipt(status, text)
    if code in codes.temporary:
        wait = reply.retry_after if reply.retry_after is not None else codes.wait.get(code)
        raise TemporaryError(codes.temporary[code], text, status, wait)
    if reply.status == 429 or reply.status >= 500:
        return judge(reply)
    raise PermanentError("rejected", text, status)


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
