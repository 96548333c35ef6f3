"""The lifespan of an ASGI app that has nothing to open or to close. Knows no Ray: replicas of the tests load it too."""

from starlette.types import Receive, Send


async def lifespan(receive: Receive, send: Send) -> None:
    """Say yes to the start-up, and later to the shutdown."""
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})
