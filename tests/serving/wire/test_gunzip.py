"""Gzip bodies: whatever is in them, no more comes out than may."""

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BadRequest, BodyTooLarge
from serving.wire.gunzip import BLOCK_BYTES, Gunzip

MIB = 1024 * 1024


def unpacked(raw: bytes, *, cut: int = 0, limit: int = 8 * MIB, ratio: int = 5000) -> bytes:
    gunzip = Gunzip(limit, ratio)
    parts = [*gunzip.feed(raw[:cut]), *gunzip.feed(raw[cut:])]
    gunzip.close()
    return b"".join(parts)


@given(st.binary(max_size=2000), st.integers(0, 2000), st.integers(0, 9))
def test_what_was_packed_comes_out(data: bytes, cut: int, level: int) -> None:
    assert unpacked(gzip.compress(data, level), cut=cut) == data


@pytest.mark.parametrize("size", [BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 5 * MIB])
def test_whole_blocks_are_not_left_inside(size: int) -> None:
    assert len(unpacked(gzip.compress(bytes(size)), cut=1)) == size


def test_a_bomb_is_stopped_by_its_ratio() -> None:
    bomb = gzip.compress(bytes(64 * MIB))
    with pytest.raises(BodyTooLarge, match="limit of 100 to 1"):
        unpacked(bomb, limit=1024 * MIB, ratio=100)


def test_no_more_than_a_block_over_the_limit_comes_out_of_a_bomb() -> None:
    gunzip, bomb, out = Gunzip(MIB, 5000), gzip.compress(bytes(64 * MIB)), []

    def drip() -> None:
        for at in range(0, len(bomb), 16):
            out.extend(gunzip.feed(bomb[at : at + 16]))

    with pytest.raises(BodyTooLarge, match="limit of 1048576 bytes"):
        drip()
    assert sum(map(len, out)) <= MIB


@pytest.mark.parametrize(
    "raw", [b"{}", b"\x1f\x8b", zlib.compress(b"{}"), gzip.compress(b"{}")[:-1]], ids=["json", "head", "zlib", "cut"]
)
def test_what_is_no_whole_gzip(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="gzip"):
        unpacked(raw)


def test_nothing_may_follow_the_member() -> None:
    with pytest.raises(BadRequest, match="one gzip member and nothing else"):
        unpacked(gzip.compress(b"{}") + b"x")


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_a_bad_request(raw: bytes) -> None:
    with suppress(BadRequest):
        out = unpacked(raw)
        assert out == gzip.decompress(raw)
