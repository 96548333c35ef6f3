"""A replica that Serve no longer lists drains and is cut; one that was only unlisted for a moment goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.cluster.leaving import follow
from tests.doubles.running_gateway import eventually

LOOK_S = 0.001


class App:
    """Notes what it is told, and is listed or not."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.listed = False
        self.looks = 0

    def look(self) -> bool:
        """Is it in Serve's list?"""
        self.looks += 1
        return self.listed

    def drain(self) -> None:
        """See `Leaving`."""
        self.told.append("drain")

    def resume(self) -> None:
        """See `Leaving`."""
        self.told.append("resume")

    def cut(self) -> None:
        """See `Leaving`."""
        self.told.append("cut")

    async def looked(self) -> None:
        """Wait until it was looked for once more."""
        looks = self.looks
        await eventually(lambda: self.looks > looks + 1, "a look")


@asynccontextmanager
async def followed(app: App, *, grace_s: float) -> AsyncIterator["asyncio.Task[None]"]:
    """`app`, followed until the block ends."""
    task = asyncio.create_task(follow(app, app.look, grace_s=grace_s, look_s=LOOK_S))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_not_listed_yet_is_no_departure() -> None:
    app = App()
    async with followed(app, grace_s=0.01):
        await app.looked()
        app.listed = True
        await app.looked()
        assert app.told == []


async def test_unlisted_it_drains_and_is_cut() -> None:
    app = App()
    app.listed = True
    async with followed(app, grace_s=0.01) as task:
        await app.looked()
        app.listed = False
        await task
        assert app.told == ["drain", "cut"]


async def test_listed_again_it_goes_on() -> None:
    app = App()
    app.listed = True
    async with followed(app, grace_s=3.0) as task:
        await app.looked()
        app.listed = False
        await eventually(lambda: app.told == ["drain"], "it drains")
        app.listed = True
        await eventually(lambda: app.told == ["drain", "resume"], "it goes on")
        assert not task.done()
