"""The gateway as a Ray Serve deployment: one replica is one gateway, behind Serve's HAProxy with its siblings.

Connects the Ray-free gateway to this cluster: Serve's live replica lists, the internal token, the scrape targets.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.spec import Catalog
from serving.cluster.leaving import follow
from serving.cluster.secret import internal_token
from serving.cluster.serve_config import GATEWAY, engine_application
from serving.cluster.serve_replicas import ServeReplicas
from serving.cluster.start_failure import GatewayStartFailed
from serving.composition import Surroundings, open_house, start_problems
from serving.edge.early_answer import closing_early
from serving.gateway import Gateway
from serving.replica.internal_token import metrics_token
from serving.settings import Settings

DEPLOYMENT = "Gateway"
MAX_ONGOING_REQUESTS = 2048
"""Above the gateway's own limit on requests in flight, which answers 503 where Serve would let them wait."""
HEALTH_CHECK_PERIOD_S = 5.0
START_ATTEMPTS = 3
LAST_WORDS_S = 10.0
"""From the cut of what is still running to the end of the replica by force."""


class GatewayReplica:
    """Serves the gateway app. Serve runs its lifespan, which opens and closes the house; see `deployment`."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        if problems := start_problems(catalog, settings, os.environ):
            raise GatewayStartFailed(problems)  # here, because of a failing lifespan Serve tells only that it failed
        self._catalog = catalog
        self._settings = settings

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Serve in the replica's own loop."""
        token = internal_token()
        engines = {spec.name: ServeReplicas(engine_application(spec.name)) for spec in self._catalog.engines}
        siblings = ServeReplicas(GATEWAY, deployment=DEPLOYMENT)
        around = Surroundings(
            replicas=lambda spec: engines[spec.name],
            internal_token=token,
            metrics_token=metrics_token(token),
            scrape_targets=lambda: [
                *_targets(siblings, {"role": "gateway"}),
                *(t for name, source in engines.items() for t in _targets(source, {"role": "engine", "model": name})),
            ],
            env=os.environ,
        )
        gateway = Gateway(lambda: open_house(self._catalog, self._settings, around))
        own_id = serve.get_replica_context().replica_id.unique_id
        self._following = asyncio.create_task(
            follow(
                gateway,
                lambda: any(replica.id == own_id for replica in siblings.replicas()),
                grace_s=self._settings.drain_timeout_s,
            )
        )
        return without_request_id(closing_early(gateway))


def without_request_id(app: ASGIApp) -> ASGIApp:
    """`app` less its `x-request-id`: Serve hands the gateway an id with every request and adds it to the answer itself.

    Twice the same header is one wrong value to most clients.
    """

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def thinned(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
            await send(message)

        await app(scope, receive, thinned)

    return outer


def _targets(source: ServeReplicas, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """Every replica as a target group of Prometheus' HTTP service discovery."""
    return [
        {"targets": [urlsplit(replica.url).netloc], "labels": {**labels, "replica": replica.id}}
        for replica in source.replicas()
    ]


def deployment(catalog: Catalog, settings: Settings) -> Application:
    """The Serve application of the gateway; how many replicas it has stands in the Serve config."""
    return serve.deployment(
        serve.ingress()(GatewayReplica),
        name=DEPLOYMENT,
        num_replicas=2,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        graceful_shutdown_timeout_s=settings.drain_timeout_s + LAST_WORDS_S,
        max_constructor_retry_count=START_ATTEMPTS,
    ).bind(catalog, settings)
