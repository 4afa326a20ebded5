"""Webhooks that this process has refused lately, by why. Noted by `webhook.py`, read by the bridge's own watch."""

import threading
import time
from collections import deque

WINDOW = 300.0
"""Seconds. Alertmanager comes again within a minute, also after a 401."""
_KEPT = 100


class Refusals:
    """Counts what happened within the window. Threads of the server note, the watch reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}

    def note(self, reason: str) -> None:
        with self._lock:
            self._times.setdefault(reason, deque(maxlen=_KEPT)).append(time.monotonic())

    def recent(self, window: float = WINDOW) -> dict[str, int]:
        """Return how many there were of each kind, 100 at most."""
        since = time.monotonic() - window
        with self._lock:
            return {reason: sum(at >= since for at in times) for reason, times in self._times.items()}


REFUSED = Refusals()
