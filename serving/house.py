"""Everything a running gateway works with, opened at start-up and closed at shutdown by the composition root."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.spec import Catalog
from serving.governance.admission import Intake
from serving.governance.rates import Rates
from serving.keys import Tenant
from serving.media.inline import Media
from serving.pipeline import Pipeline
from serving.responses.desk import ResponseDesk
from serving.telemetry import GatewayTelemetry
from serving.upstreams.readiness import Readiness
from serving.wire.limits import InputLimits


@dataclass(frozen=True, slots=True)
class House:
    """Everything a running gateway works with. `authenticate` maps a raw key to its tenant, None when unknown."""

    catalog: Catalog
    policies: Sequence[str]
    authenticate: Callable[[str], Tenant | None]
    pipeline: Pipeline
    media: Media
    responses: ResponseDesk
    readiness: Readiness
    telemetry: GatewayTelemetry
    metrics_token: str
    scrape_targets: Callable[[], Sequence[Mapping[str, Any]]]
    limits: InputLimits
    openapi: Callable[[], bytes]
    rates: Rates
    intake: Intake
