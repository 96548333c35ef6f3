"""uvicorn as the gateway is served alone: guarded connections, and an end that drops nothing that can still finish.

On SIGTERM: `/ready` says 503 while requests are still taken, then the port closes, then running answers have their
time, then those left are told in-band that they end here.
"""

import asyncio
import socket
from functools import partial
from typing import Any, Protocol, cast

import uvicorn
from starlette.types import Receive, Scope, Send

from serving.edge.limits import LINGER_S, EdgeLimits
from serving.edge.protocol import GuardedProtocol
from serving.settings import Settings

GOODBYE_S = 2.0
"""How long the last frames may take to be written."""


class Leaving(Protocol):
    """An app that can be told that its server stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        ...

    def drain(self) -> None:
        """From now on the readiness check fails; requests are still answered."""
        ...

    def cut(self) -> None:
        """End what is still being answered, each with an error its client sees."""
        ...


class GracefulServer(uvicorn.Server):
    """Runs one app. `notice_s`: from the signal to the closing of the port; `grace_s`: from there to the cut."""

    def __init__(self, config: uvicorn.Config, app: Leaving, *, notice_s: float, grace_s: float) -> None:
        super().__init__(config)
        self._app = app
        self._notice_s = notice_s
        self._grace_s = grace_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn once it was told to stop."""
        self._app.drain()
        await asyncio.sleep(self._notice_s)
        cutting = asyncio.get_running_loop().call_later(self._grace_s, self._app.cut)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()


def graceful_server(app: Leaving, settings: Settings, *, linger_s: float = LINGER_S, **options: Any) -> GracefulServer:
    """The server of `app`; `options` as `uvicorn.Config` takes them, such as host and port."""
    limits = EdgeLimits.of(settings, linger_s=linger_s)
    config = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], partial(GuardedProtocol, limits=limits)),
        ws="none",
        access_log=False,
        log_level="warning",
        lifespan="on",
        proxy_headers=False,
        timeout_keep_alive=cast(int, limits.keep_alive_timeout_s),  # uvicorn hands it to `call_later`
        timeout_graceful_shutdown=cast(int, settings.drain_timeout_s + GOODBYE_S),  # and this to `wait_for`
        **options,
    )
    return GracefulServer(config, app, notice_s=settings.drain_notice_s, grace_s=settings.drain_timeout_s)
