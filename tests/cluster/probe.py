"""A Serve application of the tests: tells what a replica inside the cluster sees. Never deployed otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from ray import serve

from serving.cluster.secret import internal_token
from serving.cluster.serve_replicas import ServeReplicas
from tests.doubles.lifespan import lifespan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray.serve import Application
    from starlette.types import Receive, Scope, Send

    from routing.picker import Replica


class ProbeApp:
    """`GET /probe?app=a&app=b`: the internal token, and the live replicas of each application."""

    def __init__(self) -> None:
        self._sources: dict[str, ServeReplicas] = {}

    def _replicas(self, app: str) -> Sequence[Replica]:
        if app not in self._sources:
            self._sources[app] = ServeReplicas(app)
        return self._sources[app].replicas()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        names = parse_qs(scope["query_string"].decode()).get("app", [])
        urls = {app: {replica.id: replica.url for replica in self._replicas(app)} for app in names}
        body = json.dumps({"token": internal_token(), "replicas": urls}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


@serve.deployment(name="Probe", ray_actor_options={"num_cpus": 0.01})
@serve.ingress()
class Probe:
    """Hosts `ProbeApp` in a replica."""

    async def __init__(self) -> None:  # type: ignore[misc]
        """Serve awaits it."""

    async def __serve_build_asgi_app__(self) -> ProbeApp:
        return ProbeApp()


def app(args: dict[str, str]) -> Application:
    """Called by Serve, which insists on one argument."""
    return Probe.bind()
