"""Which of several exporters holds a pod: by a hash of its uid, so that each pod is exactly one's. Called by `intake.py`."""

from typing import NamedTuple
from zlib import crc32


class Shard(NamedTuple):
    """One of `total` exporters; `ordinal` counts from 0."""

    ordinal: int = 0
    total: int = 1

    def holds(self, uid: str) -> bool:
        """Is the pod this exporter's? The same answer in every process, on every machine."""
        return self.total == 1 or crc32(uid.encode()) % self.total == self.ordinal
