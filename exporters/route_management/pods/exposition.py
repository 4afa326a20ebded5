"""One scrape: pods' bytes and the process's own metrics, as text or OpenMetrics, plain or gzip. Called by the second port.

Each family of each bucket is kept compressed and compressed again only when it changed (`gzip_stream.py`): at 10,000 pods
a scrape with nothing changed takes milliseconds, where compressing all of it takes a second.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.exposition import choose_encoder, gzip_accepted

from exporters.route_management.pods import gzip_stream
from exporters.route_management.pods.families import Family
from exporters.route_management.pods.gzip_stream import EMPTY, Piece
from exporters.route_management.pods.store import BUCKETS, Store

REBUILT = Counter(
    "mission_pod_exporter_scrape_chunks_rebuilt_total", "Pieces compressed anew, one a family and bucket."
)


class Block(Protocol):
    """Whole families, for one scrape."""

    def plain(self, openmetrics: bool) -> Sequence[bytes]: ...

    def pieces(self, openmetrics: bool) -> Sequence[Piece]: ...


class Pods:
    """The store's families; their compressed form is kept from scrape to scrape."""

    def __init__(self, store: Store, families: Sequence[Family], buckets: int = BUCKETS) -> None:
        self.store, self.families = store, families
        self._lock = threading.Lock()
        self._buckets: list[list[Piece]] = [[EMPTY] * buckets for _ in families]
        self._whole: list[Piece] = [EMPTY] * len(families)
        self._headers = {
            kind: [gzip_stream.piece(family.header(kind)) for family in families] for kind in (False, True)
        }

    def pieces(self, openmetrics: bool) -> list[Piece]:
        """Return a header and the lines of each family, compressed."""
        with self._lock:
            self._refresh()
            whole = list(self._whole)
        return [piece for pair in zip(self._headers[openmetrics], whole, strict=True) for piece in pair]

    def plain(self, openmetrics: bool) -> list[bytes]:
        """Return all families as they are, in pieces."""
        pods = self.store.all_parts()
        pieces: list[bytes] = []
        for i, family in enumerate(self.families):
            pieces.append(family.header(openmetrics))
            pieces += [parts[i] for parts in pods]
        return pieces

    def _refresh(self) -> None:
        rebuilt, touched = 0, 0
        for bucket, families, pods in self.store.take_changed():
            touched |= families
            for i, pieces in enumerate(self._buckets):
                if families >> i & 1:
                    pieces[bucket] = gzip_stream.piece(b"".join([parts[i] for parts in pods]))
                    rebuilt += 1
        for i, pieces in enumerate(self._buckets):
            if touched >> i & 1:
                self._whole[i] = gzip_stream.joined(pieces)
        REBUILT.inc(rebuilt)


def application(blocks: Iterable[Block], registry: CollectorRegistry = REGISTRY) -> Any:
    """Return the WSGI application of /metrics: the blocks, then the process's own metrics with what ends OpenMetrics."""
    given = tuple(blocks)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        encoder, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        openmetrics = content_type.startswith("application/openmetrics-text")
        headers = [("Content-Type", content_type)]
        if gzip_accepted(environ.get("HTTP_ACCEPT_ENCODING", "")):
            headers.append(("Content-Encoding", "gzip"))
            pieces = [piece for block in given for piece in block.pieces(openmetrics)]
            made = gzip_stream.body([*pieces, gzip_stream.piece(encoder(registry))])
        else:
            made = [*(part for block in given for part in block.plain(openmetrics)), encoder(registry)]
        start_response("200 OK", headers)
        return made

    return answer
