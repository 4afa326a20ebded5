"""Whether a webhook is taken on: not when too many wait, nor when it has waited so long that Alertmanager hangs up first.

Called by `webhook.py` before anything else is done for it. Alertmanager opens a connection for each group at once, 200 within
0.1 s (measured): all of these are served. Beyond that the answer is 503 at once, which it tries again within a second, rather
than a slow one that it no longer waits for and sends beside the first.
"""

import time
from collections.abc import Mapping
from typing import Any

from runtime.settings import env_number
from userdb.serving import WAITED, WAITING

_HANGS_UP = 9.5
"""Seconds after which Alertmanager hangs up (10), less what the answer takes."""
_PATIENCE = 5.0
"""The longest that a webhook may have waited for a thread; what is left is enough for userdb's locks."""
_SAID_EVERY = 10.0
_said = 0.0


def queue_limit() -> int:
    """Return how many requests may wait for a thread (WEBHOOK_QUEUE): below the server's 1,000 connections."""
    return int(env_number("WEBHOOK_QUEUE", 500, 10, 900))


def refusal(environ: Mapping[str, Any]) -> str | None:
    """Return why this webhook is not taken on, None when it is."""
    waited, waiting = environ.get(WAITED, 0.0), environ.get(WAITING, 0)
    if waiting > queue_limit():
        return f"{waiting} requests wait already: try again"
    if waited > _PATIENCE:
        return f"the webhook waited {waited:.1f} s for a thread: try again"
    return None


def time_left(environ: Mapping[str, Any], most: float) -> float:
    """Return the seconds in which userdb has to have taken this webhook, `most` at most."""
    return float(min(most, _HANGS_UP - environ.get(WAITED, 0.0)))


def is_to_be_said() -> bool:
    """Return whether a refusal is worth a line in the log: one every 10 s, the metric counts them all."""
    global _said
    now = time.monotonic()
    if now - _said < _SAID_EVERY:
        return False
    _said = now
    return True
