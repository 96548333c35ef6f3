"""What Ray is started with, and the script that stands in for HAProxy."""

import ast
import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from serving.cluster.ray_environment import LONGEST_SOCKET_FOLDER, serve_environment

HOME = Path("/h/.millrace")


def serve_source(name: str) -> str:
    """The text of one of Serve's private modules; importing Serve takes seconds."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "serve" / "_private" / name).read_text()


def haproxy_template() -> str:
    """Serve's template of HAProxy's configuration."""
    for node in ast.parse(serve_source("haproxy_templates.py")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HAPROXY_CONFIG_TEMPLATE":
            return str(ast.literal_eval(node.value))
    raise AssertionError("Serve's template moved")


def test_two_homes_share_no_path() -> None:
    one, other = serve_environment(HOME), serve_environment(Path("/h/other"))
    paths = {name for name, value in one.items() if str(HOME) in value}
    assert len(paths) == 6
    assert all(one[name] != other[name] for name in paths)


def test_every_haproxy_path_serve_knows_is_ours() -> None:
    elsewhere = set(re.findall(r'"(RAY_SERVE_HAPROXY_\w+)", "/', serve_source("constants.py")))
    assert elsewhere
    assert elsewhere <= set(serve_environment(HOME))


def test_a_folder_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        serve_environment(Path("/h") / ("x" * LONGEST_SOCKET_FOLDER))
    short = serve_environment(Path("/h") / ("x" * LONGEST_SOCKET_FOLDER), sockets=Path("/s"))
    assert short["RAY_SERVE_HAPROXY_SOCKET_PATH"] == "/s/sock"


def test_the_wrapper_is_executable_and_the_binary_exists() -> None:
    given = serve_environment(HOME)
    assert os.access(given["RAY_SERVE_HAPROXY_BINARY_PATH"], os.X_OK)
    assert os.access(given["HAPROXY_BINARY"], os.X_OK)


def test_the_wrapper_narrows_statistics_and_metrics_and_nothing_else(tmp_path: Path) -> None:
    template = haproxy_template()
    binds = [line.strip() for line in template.splitlines() if line.strip().startswith("bind")]
    assert len([line for line in binds if line.startswith(("bind *:", "bind :"))]) == 2, "Serve's template changed"
    config = tmp_path / "cfg"
    config.write_text(template)
    wrapper = serve_environment(HOME)["RAY_SERVE_HAPROXY_BINARY_PATH"]
    done = subprocess.run(
        [wrapper, "-db", "-f", str(config), "-sf", "7"],
        env={**os.environ, "HAPROXY_BINARY": "/bin/echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["-db", "-f", str(config), "-sf", "7"]
    narrowed = config.read_text().splitlines()
    changed = [new.strip() for old, new in zip(template.splitlines(), narrowed, strict=True) if old != new]
    assert changed == ["bind 127.0.0.1:{{ config.metrics_port }}", "bind 127.0.0.1:{{ config.stats_port }}"]
