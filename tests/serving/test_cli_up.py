"""`millrace up` with what cannot work: every problem on its own line, exit code 2, and nothing started."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving.cluster.ports import free_port

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

FIVE_MISTAKES = """\
ladder: [small]
models:
  - name: one
    tier: smal
    context_length: many
    capabilities: [chats]
    prize: {usd_per_gpu_second: 0.5}
    engine: {path: nowhere/weights}
"""

SERVE = """\
http_options: {host: 127.0.0.1, port: PORT}
applications:
  - name: gateway
    route_prefix: /
    import_path: serving.app:gateway
    args: {catalog: catalog.yaml, settings: {difficulty_file: DIFFICULTY}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from tests.doubles.difficulty import difficulty_file

    fitted = difficulty_file(tmp_path, {"hosted": 0.9})
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    config = SERVE.replace("PORT", str(free_port())).replace("DIFFICULTY", str(fitted))
    (tmp_path / "serve_config.yaml").write_text(config)
    return tmp_path


def up(folder: Path, *options: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run `millrace up` on the folder's config, with a home inside the folder."""
    command = [sys.executable, "-m", "serving.cli", "up", "--config", str(folder / "serve_config.yaml"), *options]
    given = os.environ | {"MILLRACE_HOME": str(folder / "home"), "EXAMPLE_KEY": "sk-secret", "RAY_ADDRESS": "none"}
    return subprocess.run(command, env=given | env, capture_output=True, text=True, timeout=120)


def refused(done: "subprocess.CompletedProcess[str]", folder: Path) -> list[str]:
    """The problems printed, after checking that this was a configuration error and nothing was started."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (folder / "home" / "cluster.json").exists()
    return done.stderr.splitlines()


def test_a_catalogue_with_five_mistakes_gets_five_messages(folder: Path) -> None:
    (folder / "catalog.yaml").write_text(FIVE_MISTAKES)
    problems = refused(up(folder), folder)
    assert len(problems) == 5
    assert all("catalog.yaml" in problem for problem in problems)
    assert [word for word in ("smal", "many", "chats", "prize", "nowhere") if any(word in p for p in problems)] == [
        "smal",
        "many",
        "chats",
        "prize",
        "nowhere",
    ]


def test_a_missing_hosted_key_names_model_and_variable(folder: Path) -> None:
    (problem,) = refused(up(folder, EXAMPLE_KEY=""), folder)
    assert "elsewhere" in problem
    assert "EXAMPLE_KEY" in problem


def test_a_model_path_that_does_not_exist_is_named(folder: Path) -> None:
    engine = "engine: {path: weights/none}"
    entry = (
        "  - {name: own, tier: small, context_length: 512, capabilities: [chat], "
        f"price: {{usd_per_gpu_second: 1}}, {engine}}}\n"
    )
    (folder / "catalog.yaml").write_text(CATALOG.replace("ladder: [hosted]", "ladder: [small, hosted]") + entry)
    (problem,) = refused(up(folder), folder)
    assert str(Path("weights/none")) in problem


def test_a_port_in_use_is_named_with_the_ways_out(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (problem,) = refused(up(folder, "--port", str(port)), folder)
    assert str(port) in problem
    assert "http_options.port" in problem
    assert "--port" in problem


def test_a_config_that_does_not_exist_is_named(folder: Path) -> None:
    (folder / "serve_config.yaml").unlink()
    (problem,) = refused(up(folder), folder)
    assert "serve_config.yaml" in problem


def test_a_broken_key_file_is_named(folder: Path) -> None:
    (folder / "home").mkdir()
    (folder / "home" / "keys.json").write_text("{}")
    (folder / "home" / "key").write_text("mr-x")
    (problem,) = refused(up(folder), folder)
    assert "keys.json" in problem
