"""The composition root: builders that Ray Serve calls by import path, and nothing else.

`serve_config.yaml` names them; each turns its `args` into an application. Ray is imported inside the builders.
Serve reads the type of `args` off the signature, so annotations are not strings here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from ray.serve import Application


class GatewayArgs(BaseModel):
    """`args` of the gateway application. `settings`: see serving/settings.py."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalog: Path
    settings: dict[str, Any] = Field(default_factory=dict)


class EngineArgs(BaseModel):
    """`args` of one engine application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalog: Path
    model: str


def gateway(args: GatewayArgs) -> "Application":
    """The gateway in front of every model of the catalogue. Raises `ConfigError` and `CatalogError`."""
    import os

    from models.catalog import find_catalog, load_catalog
    from serving.cluster.gateway_replica import deployment
    from serving.settings import Settings

    catalog = load_catalog(find_catalog(str(args.catalog)))
    return deployment(catalog, Settings.from_mapping(args.settings, os.environ))


def engine(args: EngineArgs) -> "Application":
    """The engine of one model of the catalogue. Raises `ConfigError` for a model that is not ours to host."""
    from models.catalog import find_catalog, load_catalog
    from serving.engine import deployment
    from serving.errors import ConfigError

    catalog = load_catalog(find_catalog(str(args.catalog)))
    spec = catalog.models.get(args.model)
    if spec is None or spec.engine is None:
        ours = ", ".join(model.name for model in catalog.engines)
        raise ConfigError([f"{catalog.path}: no self-hosted model {args.model!r}; it has: {ours}"])
    return deployment(spec)
