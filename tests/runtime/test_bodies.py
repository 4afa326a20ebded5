"""A body within its limit, plain or gzip; what is larger, cut or no gzip is refused."""

import gzip
import io
import tracemalloc
import zlib

import pytest

from runtime.bodies import BodyTooLarge, BodyUnreadable, read_body

LIMIT = 1000


def read(body: bytes, encoding: str = "gzip") -> bytes:
    return read_body(io.BytesIO(body), encoding, LIMIT)


@pytest.mark.parametrize("size", [0, 1, LIMIT])
@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "GZIP ", "x-gzip"])
def test_a_body_up_to_the_limit_is_returned(size: int, encoding: str) -> None:
    body = b"x" * size
    assert read(gzip.compress(body) if "gzip" in encoding.lower() else body, encoding) == body


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_one_byte_more_is_too_large(encoding: str) -> None:
    body = b"x" * (LIMIT + 1)
    with pytest.raises(BodyTooLarge, match="larger than 1000 bytes"):
        read(gzip.compress(body) if encoding else body, encoding)


def test_all_members_of_a_gzip_body_count() -> None:
    assert read(gzip.compress(b"one,") + gzip.compress(b"two")) == b"one,two"


def test_members_are_too_large_together() -> None:
    with pytest.raises(BodyTooLarge):
        read(gzip.compress(b"x" * 600) + gzip.compress(b"y" * 600))


def test_a_bomb_is_refused_before_it_is_whole() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        read_body(io.BytesIO(bomb), "gzip", 100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("cut", [1, 8, 12, 20])
def test_a_cut_gzip_body_is_unreadable(cut: int) -> None:
    with pytest.raises(BodyUnreadable, match="cut off"):
        read(gzip.compress(b"x" * 100)[:-cut])


@pytest.mark.parametrize(
    "body",
    [b"plain text", gzip.compress(b"x") + b"rest", zlib.compress(b"x"), gzip.compress(b"x")[:-8] + b"\0" * 8],
    ids=["text", "more behind it", "zlib", "wrong sum"],
)
def test_what_is_no_gzip_is_unreadable(body: bytes) -> None:
    with pytest.raises(BodyUnreadable, match="is not gzip"):
        read(body)


def test_an_empty_body_is_no_gzip_body() -> None:
    with pytest.raises(BodyUnreadable, match="cut off"):
        read(b"")


def test_another_encoding_is_named() -> None:
    with pytest.raises(BodyUnreadable, match="'br' is not supported"):
        read(b"", "br")
