"""What every command needs: its home, and the cluster that belongs to it. Reads the environment, once per command."""

import os
from pathlib import Path
from typing import Annotated

import typer

from serving.cluster.home import Home
from serving.cluster.lifecycle import Cluster, load_cluster
from serving.cluster.ray_head import ClusterError
from serving.settings import Settings

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="MILLRACE_HOME", help="Folder of keys and state. Default: ~/.millrace."),
]


def environment(home: Path | None) -> dict[str, str]:
    """The process environment, with `--home` put where settings are read from."""
    return dict(os.environ) | ({} if home is None else {"MILLRACE_HOME": str(home.resolve())})


def home_of(home: Path | None) -> Home:
    """The home that is meant. Raises `ConfigError` for settings in the environment that cannot work."""
    return Home(Settings.from_mapping({}, environment(home)).home.resolve())


def running_cluster(home: Home) -> Cluster:
    """The cluster of `home`. Raises `ClusterError` when nothing runs."""
    cluster = load_cluster(home)
    if cluster is None:
        raise ClusterError(f"nothing runs for {home.path}; `millrace up` starts it")
    return cluster
