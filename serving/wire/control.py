"""The routes the gateway answers itself: health, readiness, metrics and the list of models."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from models.spec import Catalog
from serving.errors import MethodNotAllowed, ModelNotFound, RouteNotFound, Unauthenticated
from serving.house import House
from serving.keys import Tenant
from serving.record import Record
from serving.wire.receive import Headers, authenticated, raw_key
from serving.wire.reply import Reply
from serving.wire.routes import CONTROL


async def control(house: House, path: str, method: str, headers: Headers, reply: Reply, record: Record) -> None:
    """Answer `path`. Raises `RouteNotFound`, `MethodNotAllowed`, `Unauthenticated` or `ModelNotFound`."""
    name = "/v1/models" if path.startswith("/v1/models/") else path
    if name not in CONTROL:
        raise RouteNotFound(f"{path} is not served here; see GET /v1/models and docs/api.md")
    if method not in ("GET", "HEAD"):
        reply.headers["allow"] = "GET, HEAD"
        raise MethodNotAllowed(f"{path} takes GET, not {method}")
    record.operation = name
    if path in ("/", "/health"):
        await _send_json(reply, {"status": "alive"})
    elif path == "/ready":
        await _ready(house, reply)
    elif name == "/v1/models":
        identified(house, headers, reply, record)
        await _send_json(reply, _models(house.catalog, house.policies, path.removeprefix("/v1/models").strip("/")))
    elif path == "/openapi.json":
        await reply.whole(200, house.openapi())
    else:
        await _metrics(house, path, headers, reply)


def identified(house: House, headers: Headers, reply: Reply, record: Record) -> Tenant:
    """The tenant who asks, with the rate limits in the answer's headers. Raises `Unauthenticated`."""
    tenant = authenticated(headers, house.authenticate)
    record.tenant = tenant.id
    reply.headers.update(house.rates.headers(tenant.id, now=record.received_s))
    return tenant


async def _ready(house: House, reply: Reply) -> None:
    missing = [{"tier": one.tier, "model": one.model, "reason": one.reason} for one in house.readiness.missing()]
    await _send_json(reply, {"ready": not missing, "missing": missing}, status=503 if missing else 200)


async def _metrics(house: House, path: str, headers: Headers, reply: Reply) -> None:
    if not hmac.compare_digest(raw_key(headers).encode(), house.metrics_token.encode()):
        raise Unauthenticated(f"{path} needs the metrics token; `millrace scrape-config` writes it for Prometheus")
    if path == "/metrics":
        await reply.whole(200, house.telemetry.exposition(), "text/plain; version=0.0.4; charset=utf-8")
    else:
        await _send_json(reply, house.scrape_targets())


def _models(catalog: Catalog, policies: Sequence[str], name: str) -> Mapping[str, Any]:
    """The OpenAI list of models, or one of it. `policies` are listed too: they are names a client may ask for."""
    entries = [_entry(policy, tier="any", stand_in=False) for policy in policies]
    entries += [_entry(spec.name, tier=spec.tier, stand_in=spec.stand_in) for spec in catalog.models.values()]
    if not name:
        return {"object": "list", "data": entries}
    for entry in entries:
        if entry["id"] == name:
            return entry
    raise ModelNotFound(f"the model {name!r} does not exist; GET /v1/models lists what does", param="model")


def _entry(name: str, *, tier: str, stand_in: bool) -> dict[str, Any]:
    owner = "stand-in" if stand_in else "millrace"
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, "tier": tier, "stand_in": stand_in}


async def _send_json(reply: Reply, data: object, *, status: int = 200) -> None:
    await reply.whole(status, msgspec.json.encode(data))
