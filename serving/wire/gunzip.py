"""A gzip body, decompressed block by block within a bound. Knows no HTTP and no asyncio.

Never holds more than the limit and one block, whatever a few compressed bytes would become.
"""

import zlib
from typing import Any

from serving.errors import BadRequest, BodyTooLarge

BLOCK_BYTES = 64 * 1024
_FREE_BYTES = 64 * 1024
"""What may come out of a body whatever its ratio: small JSON compresses well."""
_GZIP_ONLY = 31


class Gunzip:
    """Decompresses one gzip member. `limit`: bytes that may come out; `ratio`: bytes out per byte in."""

    def __init__(self, limit: int, ratio: int) -> None:
        self._limit = limit
        self._ratio = ratio
        self._zlib: Any = zlib.decompressobj(_GZIP_ONLY)
        self._in = 0
        self._out = 0

    def feed(self, data: bytes) -> list[bytes]:
        """What `data` adds, in blocks. Raises `BodyTooLarge`, or `BadRequest` for what is no gzip."""
        blocks: list[bytes] = []
        self._in += len(data)
        block = b""
        while data or len(block) == BLOCK_BYTES:  # a full block may leave more inside, with nothing left to put in
            try:
                block = self._zlib.decompress(data, BLOCK_BYTES)
            except zlib.error as error:
                raise BadRequest("the body is not valid gzip, as content-encoding says; send it whole") from error
            self._count(block)
            blocks.append(block)
            if self._zlib.unused_data:
                raise BadRequest("the body goes on after its gzip data; send one gzip member and nothing else")
            data = self._zlib.unconsumed_tail
        return blocks

    def close(self) -> None:
        """The body is over. Raises `BadRequest` when the gzip data is not."""
        if not self._zlib.eof:
            raise BadRequest("the gzip body is cut short; send it whole")

    def _count(self, block: bytes) -> None:
        self._out += len(block)
        if self._out > self._limit:
            raise too_large(self._limit)
        if self._out > _FREE_BYTES + self._in * self._ratio:
            limit = f"the limit of {self._ratio} to 1 (setting max_gzip_ratio)"
            raise BodyTooLarge(f"the body grows more than {limit} when decompressed; send it uncompressed")


def too_large(limit: int) -> BodyTooLarge:
    """The refusal of a body over `limit` bytes."""
    return BodyTooLarge(
        f"the body is over the limit of {limit} bytes (settings max_body_bytes, max_body_bytes_by_route)"
    )
