"""One scrape: pods' bytes and the process's own metrics, as text or OpenMetrics, plain or gzip. Called by the second port.

A gzip body may be a series of members (RFC 1952, 2.2; Prometheus reads them, measured). So each family of each bucket is
kept as a member of its own and compressed again only when it changed: at 10,000 pods a scrape with nothing changed takes
milliseconds, where compressing all of it takes a second.
"""

import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.exposition import choose_encoder, gzip_accepted

from exporters.route_management.pods.families import Family
from exporters.route_management.pods.store import BUCKETS, Store

REBUILT = Counter(
    "mission_pod_exporter_scrape_chunks_rebuilt_total", "Compressed pieces made anew, one a family and bucket."
)

Block = Callable[[bool, bool], Sequence[bytes]]
"""(openmetrics, gzip) -> pieces of further families."""


def member(plain: bytes) -> bytes:
    """Return a gzip member. Level 1: three times as fast as the default, a fifth larger."""
    return zlib.compress(plain, 1, wbits=31)


class Members:
    """The compressed form of the store, kept from scrape to scrape."""

    def __init__(self, store: Store, families: Sequence[Family], buckets: int = BUCKETS) -> None:
        self.store, self.families = store, families
        self._lock = threading.Lock()
        self._members: list[list[bytes]] = [[b""] * buckets for _ in families]
        self._headers = {kind: [member(family.header(kind)) for family in families] for kind in (False, True)}
        self._bodies: dict[bool, bytes] = {}

    def body(self, openmetrics: bool) -> bytes:
        """Return all families as gzip members."""
        with self._lock:
            if self._refresh():
                self._bodies.clear()
            if openmetrics not in self._bodies:
                pieces: list[bytes] = []
                for header, members in zip(self._headers[openmetrics], self._members, strict=True):
                    pieces.append(header)
                    pieces += members
                self._bodies = {openmetrics: b"".join(pieces)}  # one format is asked for as a rule: keep no second
            return self._bodies[openmetrics]

    def plain(self, openmetrics: bool) -> list[bytes]:
        """Return all families as they are, in pieces."""
        pods = self.store.all_parts()
        pieces: list[bytes] = []
        for i, family in enumerate(self.families):
            pieces.append(family.header(openmetrics))
            pieces += [parts[i] for parts in pods]
        return pieces

    def _refresh(self) -> int:
        rebuilt = 0
        for bucket, families, pods in self.store.take_changed():
            for i, members in enumerate(self._members):
                if families >> i & 1:
                    plain = b"".join([parts[i] for parts in pods])
                    members[bucket] = member(plain) if plain else b""
                    rebuilt += 1
        REBUILT.inc(rebuilt)
        return rebuilt


def application(members: Members, blocks: Iterable[Block] = (), registry: CollectorRegistry = REGISTRY) -> Any:
    """Return the WSGI application of /metrics. `blocks` come after the pods, the process's own metrics and `# EOF` last."""
    others = tuple(blocks)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        encoder, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        openmetrics = content_type.startswith("application/openmetrics-text")
        headers = [("Content-Type", content_type)]
        own = encoder(registry)
        if gzip_accepted(environ.get("HTTP_ACCEPT_ENCODING", "")):
            headers.append(("Content-Encoding", "gzip"))
            pieces = [
                members.body(openmetrics),
                *(piece for block in others for piece in block(openmetrics, True)),
                member(own),
            ]
        else:
            pieces = [
                *members.plain(openmetrics),
                *(piece for block in others for piece in block(openmetrics, False)),
                own,
            ]
        start_response("200 OK", headers)
        return pieces

    return answer
