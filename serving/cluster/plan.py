"""What `millrace up` is about to start: config, catalogue and keys checked, the config made ready for this machine.

Imports no Ray and starts nothing. Everything that can be known to be wrong beforehand is reported here, all at once.
"""

import copy
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.catalog import load_catalog
from models.errors import CatalogError
from models.hosted_keys import check_secrets
from models.spec import Catalog
from serving.cluster.home import Home
from serving.cluster.serve_config import GATEWAY, ServeConfig, check_serve_config, read_serve_config
from serving.cluster.state import shown_name
from serving.composition import read_difficulty
from serving.errors import ConfigError

EVERYWHERE = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Plan:
    """`data`: what Serve is given; `host` and `port`: where the gateway will listen."""

    data: Mapping[str, Any]
    catalog: Catalog
    home: Home
    host: str
    port: int
    needs_key: bool

    @property
    def apps(self) -> frozenset[str]:
        """Names of what will run, as tables show them."""
        return frozenset(shown_name(application["name"]) for application in self.data["applications"])

    @property
    def url(self) -> str:
        """The gateway's URL as seen from this machine."""
        host = "127.0.0.1" if self.host in EVERYWHERE else self.host
        return f"http://{host}:{self.port}"


def read_plan(path: Path, env: Mapping[str, str], *, port: int | None = None) -> Plan:
    """The plan of the Serve config at `path`; `port` overrides its port. Raises `ConfigError` with every problem."""
    config = read_serve_config(path, env)
    try:
        catalog = load_catalog(config.catalog_path)
    except CatalogError as error:
        raise ConfigError(error.problems) from error
    problems = [*check_serve_config(config, catalog), *check_secrets(catalog, env), *_difficulty(config)]
    if problems:
        raise ConfigError(problems)
    home = Home(config.settings.home.resolve())
    port = config.port if port is None else port
    return Plan(_for_here(config, home, port), catalog, home, config.host, port, config.settings.require_key)


def check_port(plan: Plan) -> None:
    """Raise `ConfigError` when something listens on the gateway's port, or the host is not this machine's."""
    family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((plan.host, plan.port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                [
                    f"port {plan.port} on {plan.host} cannot be used: {reason}; free it, or set another one with "
                    "http_options.port (serve_config.yaml) or --port"
                ]
            ) from error


def _difficulty(config: ServeConfig) -> list[str]:
    try:
        read_difficulty(config.settings.difficulty_file)
    except ConfigError as error:
        return error.problems
    return []


def _for_here(config: ServeConfig, home: Home, port: int) -> Mapping[str, Any]:
    """The config's data with absolute paths: the cluster's workers start in other folders than this process."""
    data = copy.deepcopy(dict(config.data))
    data["http_options"] = {**data.get("http_options", {}), "host": config.host, "port": port}
    for application in data["applications"]:
        args = application.setdefault("args", {})
        if "catalog" in args:
            args["catalog"] = str(config.catalog_path)
        if application["name"] == GATEWAY:
            args["settings"] = {**(args.get("settings") or {}), "home": str(home.path)}
    return data
