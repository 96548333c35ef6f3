"""The Ray Serve config as Millrace needs it: one private application per engine, and the gateway at `/`.

Imports no Ray. Serve itself ignores keys it does not know, and an application without `route_prefix: null` is public,
so both are refused here. Settings are read from the gateway's `args`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.catalog import find_catalog
from models.document import Document, Location, Problem, read_document
from models.spec import Catalog
from models.wire import did_you_mean, shown
from serving.errors import ConfigError
from serving.settings import Settings, read_settings

GATEWAY = "gateway"
GATEWAY_IMPORT = "serving.app:gateway"
ENGINE_IMPORT = "serving.app:engine"

TOP_KEYS = frozenset(
    {
        "proxy_location",
        "http_options",
        "grpc_options",
        "controller_options",
        "logging_config",
        "tracing_config",
        "target_capacity",
        "applications",
    }
)
HTTP_KEYS = frozenset(
    {
        "host",
        "port",
        "root_path",
        "request_timeout_s",
        "keep_alive_timeout_s",
        "ssl_keyfile",
        "ssl_certfile",
        "ssl_keyfile_password",
        "ssl_ca_certs",
    }
)
APPLICATION_KEYS = frozenset(
    {
        "name",
        "route_prefix",
        "import_path",
        "runtime_env",
        "args",
        "deployments",
        "autoscaling_policy",
        "logging_config",
        "external_scaler_enabled",
    }
)


def engine_application(model: str) -> str:
    """The name of the Serve application that hosts `model`."""
    return f"engine-{model}"


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """A config file that Serve can be given: its plain data, and what Millrace reads out of it."""

    path: Path
    document: Document
    data: Mapping[str, Any]
    """As written, for `ServeDeploySchema`."""
    catalog_path: Path
    """Absolute."""
    settings: Settings
    host: str
    port: int


def read_serve_config(path: Path, env: Mapping[str, str]) -> ServeConfig:
    """The config at `path`. Raises `ConfigError` with every problem that needs no catalogue to be seen."""
    document = read_document(path)
    data: Any = document.data
    if data is None:
        raise ConfigError(document.report())
    document.add(*_shape(data))
    gateway = _index_of(document, GATEWAY)
    at: Location = ("applications", gateway, "args") if gateway is not None else ()
    settings = read_settings(document, (*at, "settings"), env=env) if at else Settings()
    catalog = document.at((*at, "catalog")) if at else None
    document.add(*_catalog(document, at, catalog))
    if document.problems:
        raise ConfigError(document.report())
    return ServeConfig(
        path=path,
        document=document,
        data=data,
        catalog_path=find_catalog(str(catalog), beside=path),
        settings=settings,
        host=data.get("http_options", {}).get("host", "0.0.0.0"),
        port=data.get("http_options", {}).get("port", 8000),
    )


def check_serve_config(config: ServeConfig, catalog: Catalog) -> list[str]:
    """What keeps `config` from serving `catalog`, one line each: every engine needs exactly one private application."""
    found = Document(config.path, config.data, config.document.lines)
    found.add(*_applications(config.data["applications"], catalog))
    return found.report()


def _shape(data: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _known(data, TOP_KEYS, ())
    http = data.get("http_options", {})
    if isinstance(http, Mapping):
        yield from _known(http, HTTP_KEYS, ("http_options",))
        yield from _address(http)
    else:
        yield Problem(("http_options",), f"must be a mapping, got {shown(http)}")
    applications = data.get("applications")
    if not isinstance(applications, list):
        yield Problem(("applications",), "is missing; a list with the gateway and one application per engine")
        return
    for i, application in enumerate(applications):
        yield from _application(application, ("applications", i))


def _address(http: Mapping[str, Any]) -> Iterator[Problem]:
    host, port = http.get("host", ""), http.get("port", 8000)
    if not isinstance(host, str):
        yield Problem(("http_options", "host"), f"must be text, got {shown(host)}")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        yield Problem(("http_options", "port"), f"must be a port from 1 to 65535, got {shown(port)}")


def _application(application: object, at: Location) -> Iterator[Problem]:
    if not isinstance(application, Mapping):
        yield Problem(at, f"must be a mapping that describes an application, got {shown(application)}")
        return
    yield from _known(application, APPLICATION_KEYS, at)
    for key in ("name", "import_path"):
        if not isinstance(application.get(key), str):
            yield Problem((*at, key), "is missing; it must be text")
    if not isinstance(application.get("args", {}), Mapping):
        yield Problem((*at, "args"), f"must be a mapping, got {shown(application['args'])}")


def _known(given: Mapping[str, Any], keys: frozenset[str], at: Location) -> Iterator[Problem]:
    for key in given:
        if key not in keys:
            yield Problem((*at, key), f"unknown key; {did_you_mean(key, keys)}")


def _index_of(document: Document, name: str) -> int | None:
    """The position of the first application of that name."""
    applications = document.at(("applications",))
    found = applications if isinstance(applications, list) else []
    return next((i for i, a in enumerate(found) if isinstance(a, Mapping) and a.get("name") == name), None)


def _catalog(document: Document, at: Location, catalog: object) -> Iterator[Problem]:
    """Every application names the same catalogue, or the gateway would route to models nobody started."""
    if not at:
        yield Problem(
            ("applications",), f"no application is named '{GATEWAY}'; the one with import_path {GATEWAY_IMPORT}"
        )
        return
    if not isinstance(catalog, str):
        yield Problem((*at, "catalog"), "is missing; the catalogue's path, e.g. models/catalog.yaml")
        return
    for i in range(len(_list(document.at(("applications",))))):
        where = ("applications", i, "args", "catalog")
        other = document.at(where)
        if document.at(("applications", i, "import_path")) == ENGINE_IMPORT and other != catalog:
            yield Problem(where, f"is {shown(other)}, but the gateway's is {shown(catalog)}; all must be the same")


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _applications(applications: Sequence[Mapping[str, Any]], catalog: Catalog) -> Iterator[Problem]:
    names = [application["name"] for application in applications]
    for i, application in enumerate(applications):
        at: Location = ("applications", i)
        if application["name"] in names[:i]:
            yield Problem((*at, "name"), f"'{application['name']}' is the name of another application too")
        if application["name"] == GATEWAY:
            yield from _gateway(application, at)
        if application["import_path"] == ENGINE_IMPORT:
            yield from _engine(application, at, catalog)
        elif application["name"].startswith(engine_application("")):
            yield Problem((*at, "import_path"), f"must be '{ENGINE_IMPORT}', got {shown(application['import_path'])}")
    for model in catalog.engines:
        if engine_application(model.name) not in names:
            message = f"model '{model.name}' of {catalog.path} has no application"
            yield Problem(("applications",), f"{message}; add one named '{engine_application(model.name)}'")


def _gateway(application: Mapping[str, Any], at: Location) -> Iterator[Problem]:
    if application["import_path"] != GATEWAY_IMPORT:
        yield Problem((*at, "import_path"), f"must be '{GATEWAY_IMPORT}', got {shown(application['import_path'])}")
    if application.get("route_prefix", "/") != "/":
        yield Problem((*at, "route_prefix"), "must be '/', where clients look for /v1")


def _engine(application: Mapping[str, Any], at: Location, catalog: Catalog) -> Iterator[Problem]:
    model = application.get("args", {}).get("model")
    engines = [spec.name for spec in catalog.engines]
    if model not in engines:
        hint = did_you_mean(str(model), engines) if engines else "the catalogue has none"
        yield Problem((*at, "args", "model"), f"{shown(model)} is no engine of {catalog.path}; {hint}")
    elif application["name"] != engine_application(model):
        yield Problem((*at, "name"), f"must be '{engine_application(model)}', where the gateway looks for '{model}'")
    if application.get("route_prefix", "/") is not None:
        message = "must be null; an engine is reached only through the gateway, never from outside"
        yield Problem((*at, "route_prefix"), message)
