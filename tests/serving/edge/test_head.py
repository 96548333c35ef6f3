"""A held head goes out with what follows it, alone when nothing follows, and never gets lost or out of order."""

import asyncio
from typing import cast

from serving.edge.head import HeldHead


class Wire:
    """A transport that notes what it is told, each write on its own."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Note it."""
        self.told.append(data)

    def close(self) -> None:
        """Note it."""
        self.told.append(b"<closed>")


def held(wire: Wire) -> HeldHead:
    return HeldHead(cast(asyncio.Transport, wire), asyncio.get_running_loop())


async def test_a_head_goes_out_with_the_body_that_follows_at_once() -> None:
    wire = Wire()
    head = held(wire)
    for part in (b"head ", b"first ", b"second"):
        head.write(part)
    assert wire.told == [b"head first ", b"second"]


async def test_a_head_that_nothing_follows_goes_out_by_itself() -> None:
    wire = Wire()
    head = held(wire)
    head.write(b"head ")
    assert wire.told == []
    await asyncio.sleep(0)
    assert wire.told == [b"head "]
    head.write(b"late")
    assert wire.told == [b"head ", b"late"]


async def test_closing_loses_nothing() -> None:
    wire = Wire()
    head = held(wire)
    head.write(b"head")
    head.close()
    await asyncio.sleep(0)
    assert wire.told == [b"head", b"<closed>"]
