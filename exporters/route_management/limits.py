"""How much one tenant may report: requests, events and bytes a second, and requests at once. Called by `reports.py`.

Each limit is a token bucket of a tenant's own, so that nobody uses up another's share. It counts in this process alone: with
N replicas a tenant has up to N times as much. The memory is that of MOST_TENANTS buckets.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from runtime.settings import env_number

BURST = 20.0
"""Seconds' worth that may come at once: a client's whole spool after an outage is no flood."""
MOST_TENANTS = 10_000
KINDS = ("requests", "events", "bytes")


@dataclass(frozen=True, slots=True)
class Rates:
    """A tenant's limits in one process."""

    requests: float
    events: float
    bytes: float
    concurrent: int

    @classmethod
    def of_environment(cls) -> "Rates":
        """Return the limits that are set; SettingsError names the variable that holds no such number."""
        return cls(
            env_number("REPORTS_REQUESTS_PER_SECOND", 50, 1, 1e6),
            env_number("REPORTS_EVENTS_PER_SECOND", 1000, 1, 1e9),
            env_number("REPORTS_BYTES_PER_SECOND", 4 * 1024 * 1024, 1024, 1e12),
            int(env_number("REPORTS_CONCURRENT", 4, 1, 1000)),
        )


class Limited(Exception):
    """The tenant has used up its share; `retry_after` says for how long, whole seconds."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"too many {what} of this tenant: send again after Retry-After seconds")
        self.retry_after = max(1, math.ceil(seconds))


class _Share:
    """One tenant's buckets, and how many of its requests are under way."""

    __slots__ = ("filled_at", "levels", "under_way")

    def __init__(self, full: dict[str, float], now: float) -> None:
        self.levels, self.filled_at, self.under_way = dict(full), now, 0


class Limits:
    """The shares of all tenants. Safe for threads."""

    def __init__(
        self,
        rates: Rates,
        largest: dict[str, float],
        clock: Callable[[], float] = time.monotonic,
        most: int = MOST_TENANTS,
    ) -> None:
        """`largest` is what one request may cost: a bucket holds at least that, else the request could never pass."""
        self._rates, self._clock, self._most = rates, clock, most
        self._rate = {kind: float(getattr(rates, kind)) for kind in KINDS}
        self._full = {kind: max(self._rate[kind] * BURST, largest.get(kind, 1.0)) for kind in KINDS}
        self._lock = threading.Lock()
        self._shares: OrderedDict[str, _Share] = OrderedDict()

    def __len__(self) -> int:
        return len(self._shares)

    def enter(self, tenant: str) -> None:
        """Begin a request; raise Limited, else `leave` has to follow."""
        with self._lock:
            share = self._share(tenant)
            if share.under_way >= self._rates.concurrent:
                raise Limited("requests at once", 1)
            self._take(share, "requests", 1)
            share.under_way += 1

    def leave(self, tenant: str) -> None:
        """End a request that was begun."""
        with self._lock:
            share = self._shares.get(tenant)
            if share is not None:
                share.under_way -= 1

    def spend(self, tenant: str, kind: str, cost: float) -> None:
        """Take `cost` events or bytes out of the tenant's bucket; raise Limited, and take none, when it holds less."""
        with self._lock:
            self._take(self._share(tenant), kind, cost)

    def _share(self, tenant: str) -> _Share:
        now = self._clock()
        share = self._shares.get(tenant)
        if share is None:
            self._make_room()
            share = self._shares[tenant] = _Share(self._full, now)
        self._shares.move_to_end(tenant)
        for kind in KINDS:
            share.levels[kind] = min(self._full[kind], share.levels[kind] + (now - share.filled_at) * self._rate[kind])
        share.filled_at = now
        return share

    def _take(self, share: _Share, kind: str, cost: float) -> None:
        missing = cost - share.levels[kind]
        if missing > 0:
            raise Limited(kind, missing / self._rate[kind])
        share.levels[kind] -= cost

    def _make_room(self) -> None:
        """Forget the share that nobody has used for the longest time: it is full again, or nearly so."""
        if len(self._shares) >= self._most:
            idle = next((name for name, share in self._shares.items() if not share.under_way), None)
            if idle is not None:
                del self._shares[idle]
