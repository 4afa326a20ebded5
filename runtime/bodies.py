"""Reads a request's body within a limit, plain or gzip. Called by the webhook and the reports API.

A body that grows beyond the limit while it is unpacked is refused before it is whole (a "zip bomb" costs one buffer).
"""

import zlib
from typing import Protocol


class BodyTooLarge(ValueError):
    """The body is larger than the limit: answer 413."""


class BodyUnreadable(ValueError):
    """The body's encoding is unknown or broken: answer 400."""


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_body(stream: Stream, encoding: str, limit: int) -> bytes:
    """Return the body, unpacked; raise BodyTooLarge or BodyUnreadable. `encoding` is the Content-Encoding header."""
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise BodyUnreadable(f"Content-Encoding {encoding!r:.40} is not supported: use gzip or none")
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    return _unpacked(body, limit) if encoding.endswith("gzip") else body


def _unpacked(body: bytes, limit: int) -> bytes:
    """Return what all members of a gzip body hold (RFC 1952, 2.2: a file is a series of them)."""
    plain = bytearray()
    while True:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            plain += unpacker.decompress(body, limit + 1 - len(plain))
        except zlib.error as error:
            raise BodyUnreadable(f"the body is not gzip: {error}") from error
        if len(plain) > limit or unpacker.unconsumed_tail:
            raise BodyTooLarge(f"the unpacked body is larger than {limit} bytes")
        if not unpacker.eof:
            raise BodyUnreadable("the gzip body is cut off")
        body = unpacker.unused_data
        if not body:
            return bytes(plain)
