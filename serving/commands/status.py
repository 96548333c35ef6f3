"""`millrace status`: models, replicas, state, load and last error, as a table or as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from serving.cluster.board import apps_table
from serving.cluster.engine_states import read_engine_states
from serving.cluster.lifecycle import Cluster
from serving.cluster.ray_head import ClusterError
from serving.cluster.ray_probe import probe_token
from serving.cluster.serve_config import GATEWAY
from serving.cluster.start_up import missing_tiers
from serving.cluster.state import AppState, EngineStates, app_states
from serving.commands.surroundings import HomeOption, home_of, running_cluster


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    home: HomeOption = None,
) -> None:
    """Show what runs: models, replicas, state, load, last error."""
    cluster = running_cluster(home_of(home))
    apps = app_states(cluster.api.details(), _engines(cluster))
    missing = missing_tiers(cluster.gateway_url)
    if as_json:
        typer.echo(json.dumps(report(cluster.gateway_url, apps, missing), indent=2))
        return
    console = Console()
    console.print(apps_table(apps))
    console.print(f"{cluster.gateway_url}: " + ("ready" if not missing else "; ".join(missing)), markup=False)


def report(url: str, apps: Sequence[AppState], missing: Sequence[str]) -> dict[str, Any]:
    """What `--json` prints."""
    rows = {app.name: asdict(app) | {"live": app.live} for app in apps}
    gateway = rows.pop(GATEWAY, None)
    return {
        "url": url,
        "ready": not missing,
        "missing": list(missing),
        "gateway": gateway,
        "models": list(rows.values()),
    }


def _engines(cluster: Cluster) -> EngineStates:
    """The engines' own figures; without them the table still shows what Serve knows."""
    try:
        token = probe_token(cluster.gcs_address, cluster.environment(os.environ))
    except ClusterError:
        return {}
    return read_engine_states(cluster.gateway_url, token)
