"""Pieces compressed apart make one gzip stream that any reader takes."""

import gzip
import random
import subprocess
import zlib
from pathlib import Path

import pytest

from exporters.route_management.pods.gzip_stream import body, joined, piece


def texts() -> list[bytes]:
    chance = random.Random(7)
    sizes = [0, 1, 5, 300, 65_535, 65_536, 65_537, 400_000, 0, 3_000_000, 12]
    return [chance.randbytes(16) * (size // 16 + 1) for size in sizes] + [b""]


def test_pieces_are_one_stream_with_one_member() -> None:
    made = b"".join(body(map(piece, texts())))
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(made) == b"".join(texts())
    assert (reader.eof, reader.unused_data) == (True, b"")


@pytest.mark.parametrize("split", [0, 1, 5, 9, 12])
def test_pieces_may_be_joined_before(split: int) -> None:
    pieces = [piece(text) for text in texts()]
    made = b"".join(body([joined(pieces[:split]), joined(pieces[split:])]))
    assert gzip.decompress(made) == b"".join(texts())


def test_nothing_is_an_empty_stream() -> None:
    assert gzip.decompress(b"".join(body([]))) == b""


def test_the_gzip_program_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "metrics.gz"
    file.write_bytes(b"".join(body(map(piece, texts()))))
    done = subprocess.run(["gzip", "--decompress", "--stdout", file], capture_output=True, check=True)
    assert done.stdout == b"".join(texts())
