"""A cancelled call reaches the inner app as a departed client."""

import asyncio
from typing import Any

import pytest

from serving.replica.cancellation import CancelAsDisconnect


class Unary:
    """Works as vLLM does: the answer is made in a task of its own, which only `http.disconnect` stops."""

    def __init__(self, *, listens: bool = True) -> None:
        self.listens = listens
        self.started = asyncio.Event()
        self.outcome = "running"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        work = asyncio.ensure_future(self._work())
        while self.listens:
            if (await receive())["type"] == "http.disconnect":
                work.cancel()
                break
        await asyncio.wait({work})

    async def _work(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.outcome = "stopped"
            raise


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def ignore(message: Any) -> None:
    """Nobody listens."""


async def cancelled_call(app: Unary, *, grace_s: float) -> None:
    call = asyncio.ensure_future(CancelAsDisconnect(app, grace_s=grace_s)({"type": "http"}, never, ignore))
    await app.started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_the_inner_work_is_stopped() -> None:
    app = Unary()
    await cancelled_call(app, grace_s=60)
    assert app.outcome == "stopped"


async def test_an_app_that_does_not_listen_is_given_up_after_the_grace() -> None:
    app = Unary(listens=False)
    await cancelled_call(app, grace_s=0.01)
    assert app.outcome == "running"
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
async def test_messages_pass_both_ways(kind: str) -> None:
    sent: list[Any] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await send(await receive())

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"hello"}

    async def send(message: Any) -> None:
        sent.append(message)

    await CancelAsDisconnect(echo)({"type": kind}, receive, send)
    assert sent == [{"type": "http.request", "body": b"hello"}]


async def test_errors_of_the_inner_app_come_out() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        await CancelAsDisconnect(fail)({"type": "http"}, never, ignore)
