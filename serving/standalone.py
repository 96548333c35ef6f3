"""The gateway under uvicorn alone, in front of any OpenAI-compatible servers: no Ray, no vLLM.

`python -m serving.standalone --catalog FILE --port N [--replica MODEL=URL …]`. Models the catalogue hosts on an
engine are reached at the given URLs with the token in `MILLRACE_INTERNAL_TOKEN`; a random one stands in for it.
"""

import os
import secrets
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from models.catalog import DEFAULT_CATALOG, load_catalog
from models.errors import CatalogError
from models.spec import Catalog
from serving.composition import Surroundings, open_house
from serving.edge.server import graceful_server
from serving.errors import ConfigError
from serving.gateway import Gateway
from serving.replica.internal_token import metrics_token
from serving.settings import Settings
from serving.upstreams.replicas import StaticReplicas


def serve(
    catalog: Annotated[Path, typer.Option(help="The catalogue of models.")] = DEFAULT_CATALOG,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    replica: Annotated[list[str] | None, typer.Option(help="MODEL=URL of an engine; may be repeated.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a setting; may be repeated.")] = None,
) -> None:
    """Serve the gateway until it is stopped."""
    try:
        settings = Settings.from_mapping(dict(_pair(one) for one in setting or ()), os.environ)
        gateway = build(load_catalog(catalog), settings, replica or ())
    except (CatalogError, ConfigError) as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        raise typer.Exit(2) from error
    graceful_server(gateway, settings, host=host, port=port, loop="uvloop").run()


def build(catalog: Catalog, settings: Settings, replicas: Sequence[str]) -> Gateway:
    """The ASGI app. `replicas`: MODEL=URL pairs. Raises `ConfigError`."""
    urls: defaultdict[str, list[str]] = defaultdict(list)
    for model, url in map(_pair, replicas):
        urls[model].append(url)
    token = os.environ.get("MILLRACE_INTERNAL_TOKEN") or secrets.token_urlsafe(32)
    around = Surroundings(
        replicas=lambda spec: StaticReplicas(urls[spec.name]),
        internal_token=token,
        metrics_token=metrics_token(token),
        scrape_targets=lambda: [],
        env=os.environ,
    )
    return Gateway(lambda: open_house(catalog, settings, around))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError([f"{text!r}: must be NAME=VALUE"])
    return name, value


if __name__ == "__main__":
    typer.run(serve)
