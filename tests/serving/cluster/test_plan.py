"""The plan: what Serve is given, from what the file says."""

import socket
from pathlib import Path

import pytest

from serving.cluster.plan import Plan, check_port, read_plan
from serving.cluster.ports import free_port
from serving.errors import ConfigError
from tests.doubles.difficulty import difficulty_file

CATALOG = """\
ladder: [hosted]
models:
  - name: elsewhere
    tier: hosted
    context_length: 2048
    capabilities: [chat]
    price: {usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 1}
    leaves_premises: true
    hosted: {base_url: https://api.example.com/v1, model: big-1, key_env: EXAMPLE_KEY}
"""

SERVE = """\
http_options: {host: HOST, port: 8123}
applications:
  - name: gateway
    route_prefix: /
    import_path: serving.app:gateway
    args: {catalog: catalog.yaml, settings: {max_in_flight: 7}}
"""


def plan(folder: Path, *, host: str = "127.0.0.1", port: int | None = None, **env: str) -> Plan:
    (folder / "catalog.yaml").write_text(CATALOG)
    (folder / "serve_config.yaml").write_text(SERVE.replace("HOST", host))
    fitted = str(difficulty_file(folder, {"hosted": 0.9}))
    given = {"EXAMPLE_KEY": "k", "MILLRACE_HOME": str(folder / "home"), "MILLRACE_DIFFICULTY_FILE": fitted}
    return read_plan(folder / "serve_config.yaml", given | env, port=port)


def test_paths_are_absolute_and_the_rest_is_as_written(tmp_path: Path) -> None:
    found = plan(tmp_path)
    (gateway,) = found.data["applications"]
    assert gateway["args"]["catalog"] == str(tmp_path / "catalog.yaml")
    assert gateway["args"]["settings"] == {"max_in_flight": 7, "home": str(tmp_path / "home")}
    assert gateway["route_prefix"] == "/"
    assert found.apps == {"gateway"}


def test_the_port_can_be_given_from_outside(tmp_path: Path) -> None:
    assert plan(tmp_path).data["http_options"] == {"host": "127.0.0.1", "port": 8123}
    moved = plan(tmp_path, port=9000)
    assert moved.data["http_options"] == {"host": "127.0.0.1", "port": 9000}
    assert moved.url == "http://127.0.0.1:9000"


def test_a_gateway_on_all_interfaces_is_reached_on_this_one(tmp_path: Path) -> None:
    found = plan(tmp_path, host="0.0.0.0")
    assert found.data["http_options"]["host"] == "0.0.0.0"
    assert found.url == "http://127.0.0.1:8123"


def test_a_missing_difficulty_file_is_seen_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="difficulty_file"):
        plan(tmp_path, MILLRACE_DIFFICULTY_FILE=str(tmp_path / "none.json"))


def test_a_free_port_passes_and_a_taken_one_does_not(tmp_path: Path) -> None:
    check_port(plan(tmp_path, port=free_port()))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot be used"):
            check_port(plan(tmp_path, port=taken.getsockname()[1]))


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.77"):
        check_port(plan(tmp_path, host="192.0.2.77", port=free_port()))
