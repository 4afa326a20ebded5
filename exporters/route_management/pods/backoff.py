"""How long to wait after a failure: 0.8 s, doubled to 30 s, full jitter; from the start again after 2 healthy minutes.

Those are client-go's figures. Called by `watch.py`, `history.py` and `usage.py`.
"""

import random
import time
from collections.abc import Callable

FIRST, LONGEST, HEALTHY = 0.8, 30.0, 120.0
LONGEST_ASKED_FOR = 120.0
"""What a Retry-After is believed up to, seconds."""


class Backoff:
    """One sequence of pauses."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        """`jitter` returns a number from 0 to 1."""
        self._clock, self._jitter = clock, jitter
        self._failures, self._last = 0, float("-inf")

    def failed(self, asked_for: float = 0.0) -> float:
        """Return the seconds to wait now, at least what the other side asked for."""
        now = self._clock()
        if now - self._last > HEALTHY:
            self._failures = 0
        ceiling = min(LONGEST, FIRST * 2.0 ** min(self._failures, 10))
        self._failures += 1
        pause = max(ceiling * self._jitter(), min(asked_for, LONGEST_ASKED_FOR))
        self._last = now + pause
        return pause
