"""The gateway as a Ray Serve deployment: one replica is one gateway, behind Serve's HAProxy with its siblings.

Connects the Ray-free gateway to this cluster: Serve's live replica lists, the internal token, the scrape targets.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ray import serve

from models.spec import Catalog
from serving.cluster_secret import internal_token
from serving.composition import Surroundings, open_house
from serving.gateway import Gateway
from serving.internal_token import metrics_token
from serving.serve_replicas import ServeReplicas
from serving.settings import Settings

APP_NAME = "gateway"
DEPLOYMENT_NAME = "Gateway"


@serve.deployment(
    name=DEPLOYMENT_NAME,
    num_replicas=2,
    max_ongoing_requests=2048,
    health_check_period_s=5,
    graceful_shutdown_timeout_s=60,
)
@serve.ingress()
class GatewayReplica:
    """Serves the gateway app. Serve runs its lifespan, which opens and closes the house."""

    async def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._settings = settings

    async def __serve_build_asgi_app__(self) -> Gateway:
        """Called by Serve in the replica's own loop."""
        token = internal_token()
        engines = {spec.name: ServeReplicas(engine_app(spec.name)) for spec in self._catalog.engines}
        siblings = ServeReplicas(APP_NAME, deployment=DEPLOYMENT_NAME)
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
        return Gateway(lambda: open_house(self._catalog, self._settings, around))


def engine_app(model: str) -> str:
    """The Serve application that hosts `model`."""
    return f"engine-{model}"


def _targets(source: ServeReplicas, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """Every replica as a target group of Prometheus' HTTP service discovery."""
    return [
        {"targets": [urlsplit(replica.url).netloc], "labels": {**labels, "replica": replica.id}}
        for replica in source.replicas()
    ]
