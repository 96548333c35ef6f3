"""Work for a client that has gone is cancelled, whether its server says so by itself or has to be asked."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Scope

from serving.wire.presence import WATCH, unless_gone
from serving.wire.receive import ClientGone


class Server:
    """An ASGI server; `tells`: it has the extension."""

    def __init__(self, *, tells: bool) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._gone: list[Callable[[], object]] = []
        self.scope: Scope = {"type": "http", **({"extensions": {WATCH: self._gone.append}} if tells else {})}

    def lose(self) -> None:
        """The connection is lost."""
        self._messages.put_nowait({"type": "http.disconnect"})
        for gone in self._gone:
            gone()

    async def receive(self) -> Message:
        """See the ASGI specification."""
        return await self._messages.get()


@pytest.fixture(params=[True, False], ids=["told", "asked"])
def server(request: Any) -> Server:
    return Server(tells=request.param)


async def working(seen: list[str], until: asyncio.Event) -> None:
    try:
        await until.wait()
        seen.append("done")
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise


async def test_the_work_ends_with_the_client(server: Server) -> None:
    seen: list[str] = []
    asyncio.get_running_loop().call_soon(server.lose)
    with pytest.raises(ClientGone):
        await unless_gone(working(seen, asyncio.Event()), server.scope, server.receive)
    task = asyncio.current_task()
    assert task is not None
    assert (seen, task.cancelling()) == (["cancelled"], 0)


async def test_a_client_that_stays_changes_nothing(server: Server) -> None:
    seen: list[str] = []
    until = asyncio.Event()
    asyncio.get_running_loop().call_soon(until.set)
    await unless_gone(working(seen, until), server.scope, server.receive)
    assert seen == ["done"]


async def test_one_that_leaves_after_its_answer_disturbs_nobody(server: Server) -> None:
    until = asyncio.Event()
    until.set()
    await unless_gone(working([], until), server.scope, server.receive)
    server.lose()
    await asyncio.sleep(0.01)


async def test_a_cancellation_from_elsewhere_is_no_client_that_left(server: Server) -> None:
    task = asyncio.ensure_future(unless_gone(working([], asyncio.Event()), server.scope, server.receive))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_passes_through(server: Server) -> None:
    async def failing() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await unless_gone(failing(), server.scope, server.receive)
