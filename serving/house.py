"""Everything a running gateway works with, opened at start-up and closed at shutdown by the composition root."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.spec import Catalog
from serving.keys import Tenant
from serving.pipeline import Pipeline
from serving.telemetry import GatewayTelemetry
from serving.upstreams.readiness import Readiness


@dataclass(frozen=True, slots=True)
class House:
    """Everything a running gateway works with. `authenticate` maps a raw key to its tenant, None when unknown."""

    catalog: Catalog
    policies: Sequence[str]
    authenticate: Callable[[str], Tenant | None]
    pipeline: Pipeline
    readiness: Readiness
    telemetry: GatewayTelemetry
    metrics_token: str
    scrape_targets: Callable[[], Sequence[Mapping[str, Any]]]
    max_body_bytes: int
    body_timeout_s: float
