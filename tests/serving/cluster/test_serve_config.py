"""The Serve config: what Serve would ignore or make public by mistake is refused."""

import warnings
from pathlib import Path

import pytest
import yaml

from models.catalog import DEFAULT_CATALOG, load_catalog
from models.spec import Catalog
from serving.cluster.serve_config import (
    APPLICATION_KEYS,
    ENGINE_IMPORT,
    GATEWAY_IMPORT,
    HTTP_KEYS,
    TOP_KEYS,
    check_serve_config,
    engine_application,
    read_serve_config,
)
from serving.errors import ConfigError

SHIPPED = Path(__file__).resolve().parents[3] / "serve_config.yaml"

CATALOG = """\
ladder: [small]
models:
  - name: one
    tier: small
    context_length: 2048
    capabilities: [chat]
    price: {usd_per_gpu_second: 0.5}
    engine: {huggingface: owner/one, revision: abc}
"""

GOOD = """\
http_options: {host: 127.0.0.1, port: 8000}
applications:
  - name: gateway
    route_prefix: /
    import_path: serving.app:gateway
    args: {catalog: catalog.yaml, settings: {max_in_flight: 3}}
  - name: engine-one
    route_prefix: null
    import_path: serving.app:engine
    args: {catalog: catalog.yaml, model: one}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "catalog.yaml").write_text(CATALOG)
    path = folder / "serve_config.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    """What reading finds or, when that finds nothing, what checking against the catalogue finds."""
    try:
        config = read_serve_config(written(folder, text), {})
    except ConfigError as error:
        found = error.problems
    else:
        found = check_serve_config(config, load_catalog(config.catalog_path))
    return [problem.replace(f"{folder}/", "") for problem in found]


def test_a_good_config_is_read(tmp_path: Path) -> None:
    config = read_serve_config(written(tmp_path, GOOD), {"MILLRACE_BODY_TIMEOUT_S": "4"})

    assert config.catalog_path == tmp_path / "catalog.yaml"
    assert (config.host, config.port) == ("127.0.0.1", 8000)
    assert (config.settings.max_in_flight, config.settings.body_timeout_s) == (3, 4.0)
    assert check_serve_config(config, load_catalog(config.catalog_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "http_options:", "http_option:", ":1: http_option: unknown key; did you mean", id="key at the top"
        ),
        pytest.param("host: 127.0.0.1", "hst: x", "did you mean 'host'?", id="http key"),
        pytest.param("port: 8000", "port: 80000", "a port from 1 to 65535, got 80000", id="port"),
        pytest.param("{host: 127.0.0.1, port: 8000}", "[]", "http_options: must be a mapping", id="http options"),
        pytest.param("name: gateway", "name: gatway", "no application is named 'gateway'", id="no gateway"),
        pytest.param("route_prefix: /\n", "route_prefix: /llm\n", "must be '/'", id="gateway elsewhere"),
        pytest.param("serving.app:gateway", "serving.app:gate", "must be 'serving.app:gateway'", id="gateway's import"),
        pytest.param("serving.app:engine", "serving.app:engin", "must be 'serving.app:engine'", id="engine's import"),
        pytest.param("catalog.yaml, settings", "c.yaml, settings", "all must be the same", id="two catalogues"),
        pytest.param("catalog: catalog.yaml, settings", "settings", "args.catalog: is missing", id="no catalogue"),
        pytest.param("max_in_flight", "max_inflight", ":6: applications[0].args.settings.max_inflight", id="setting"),
        pytest.param("route_prefix: null", "route_prefix: /one", "never from outside", id="public engine"),
        pytest.param("    route_prefix: null\n", "", "never from outside", id="engine public by omission"),
        pytest.param("route_prefix: null", "route_prefx: null", "did you mean 'route_prefix'?", id="application key"),
        pytest.param("model: one", "model: ono", "did you mean 'one'?", id="unknown model"),
        pytest.param("name: engine-one", "name: engine-1", "must be 'engine-one'", id="engine's name"),
        pytest.param("name: engine-one", "nam: engine-one", "name: is missing", id="no name"),
        pytest.param("name: engine-one", "name: gateway", "the name of another application", id="name twice"),
        pytest.param("args: {catalog: catalog.yaml, model: one}", "args: 3", "must be a mapping, got 3", id="args"),
        pytest.param(GOOD[GOOD.index("applications") :], "", "applications: is missing", id="no applications"),
        pytest.param("  - name: engine-one", "  - 5\n  - name: engine-one", "got 5", id="application is a number"),
        pytest.param(GOOD, "- 1", "the top level must be a mapping", id="list"),
    ],
)
def test_a_mistake_is_reported_with_its_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    assert any(expected in message for message in problems(tmp_path, GOOD.replace(old, new)))


def test_an_engine_without_an_application_is_reported(tmp_path: Path) -> None:
    (message,) = problems(tmp_path, GOOD[: GOOD.index("  - name: engine-one")])

    assert "model 'one'" in message
    assert "add one named 'engine-one'" in message


def test_the_shipped_config_serves_the_shipped_catalogue() -> None:
    config = read_serve_config(SHIPPED, {})

    assert config.catalog_path == DEFAULT_CATALOG
    assert check_serve_config(config, load_catalog(config.catalog_path)) == []
    assert config.host == "127.0.0.1"


def test_the_shipped_config_fits_on_two_cores() -> None:
    config = read_serve_config(SHIPPED, {})
    catalog: Catalog = load_catalog(config.catalog_path)
    gateway = config.data["applications"][0]["deployments"][0]

    engines = sum(m.engine.num_cpus * m.engine.max_replicas for m in catalog.engines if m.engine)
    assert gateway["num_replicas"] >= 2
    assert engines + gateway["num_replicas"] * gateway["ray_actor_options"]["num_cpus"] <= 2


def test_ray_serve_takes_the_shipped_config() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own use of pydantic warns
        from ray.serve.schema import HTTPOptionsSchema, ServeApplicationSchema, ServeDeploySchema

    data = yaml.safe_load(SHIPPED.read_text())
    applications = {app.name: app for app in ServeDeploySchema.model_validate(data).applications}

    assert applications["gateway"].import_path == GATEWAY_IMPORT
    engines = {engine_application(name) for name in ("abacus-small", "abacus-large", "abacus-embed")}
    assert applications.keys() == {"gateway", *engines}
    assert all(applications[name].route_prefix is None for name in engines)
    assert all(applications[name].import_path == ENGINE_IMPORT for name in engines)
    assert ServeDeploySchema.model_fields.keys() == TOP_KEYS
    assert HTTPOptionsSchema.model_fields.keys() == HTTP_KEYS
    assert ServeApplicationSchema.model_fields.keys() - {"host", "port"} == APPLICATION_KEYS


@pytest.mark.parametrize("import_path", [GATEWAY_IMPORT, ENGINE_IMPORT])
def test_the_builders_exist(import_path: str) -> None:
    module, _, name = import_path.partition(":")
    source = SHIPPED.parent / Path(*module.split(".")).with_suffix(".py")

    assert f"def {name}(" in source.read_text()
