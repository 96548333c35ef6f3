"""What Ray is started with, and the script that stands in for HAProxy."""

import ast
import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from serving.cluster import ray_environment
from serving.cluster.ray_environment import LONGEST_SOCKET_FOLDER, serve_environment

HOME = Path("/h/.millrace")
CLUSTER = Path(ray_environment.__file__).parent
SECTIONS = {"global": "global", "defaults": "defaults", "frontend": "frontend http_frontend"}
"""Our files, by the section of HAProxy's configuration that each goes into."""


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


def amended(config: Path) -> str:
    """What the wrapper makes of a configuration, started as Serve starts it; it must pass its arguments on."""
    wrapper = serve_environment(HOME)["RAY_SERVE_HAPROXY_BINARY_PATH"]
    done = subprocess.run(
        [wrapper, "-db", "-f", str(config), "-sf", "7"],
        env={**os.environ, "HAPROXY_BINARY": "/bin/echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["-db", "-f", str(config), "-sf", "7"]
    return config.read_text()


def test_the_wrapper_narrows_statistics_and_metrics(tmp_path: Path) -> None:
    template = haproxy_template()
    binds = [line.strip() for line in template.splitlines() if line.strip().startswith("bind")]
    assert len([line for line in binds if line.startswith(("bind *:", "bind :"))]) == 2, "Serve's template changed"
    config = tmp_path / "cfg"
    config.write_text(template)
    narrowed = [line.strip() for line in amended(config).splitlines() if line.strip().startswith("bind")]
    changed = [new for old, new in zip(binds, narrowed, strict=True) if old != new]
    assert changed == ["bind 127.0.0.1:{{ config.metrics_port }}", "bind 127.0.0.1:{{ config.stats_port }}"]


def test_the_wrapper_adds_our_sections_and_takes_only_serves_error_page(tmp_path: Path) -> None:
    template = haproxy_template()
    config = tmp_path / "cfg"
    config.write_text(template)
    lines = amended(config).splitlines()
    added = [line for name in SECTIONS for line in (CLUSTER / f"haproxy_{name}.cfg").read_text().splitlines()]
    gone = [line for line in template.splitlines() if line not in lines and not line.strip().startswith("bind")]
    assert [line for line in lines if line not in template.splitlines() and "127.0.0.1" not in line] == added
    assert {line.split()[0] for line in gone} == {"errorfile"}
    for name, heading in SECTIONS.items():
        first = (CLUSTER / f"haproxy_{name}.cfg").read_text().splitlines()[0]
        after = [line for line in lines[: lines.index(first)] if line not in added]
        assert heading == [line for line in after if re.match(r"\w", line)][-1]


def test_a_configuration_is_amended_once(tmp_path: Path) -> None:
    config = tmp_path / "cfg"
    config.write_text(haproxy_template())
    once = amended(config)
    assert amended(config) == once


def test_serve_knows_every_limit_we_set() -> None:
    ours = {name for name in serve_environment(HOME) if name.startswith("RAY_SERVE_")}
    assert ours - set(re.findall(r'"(RAY_SERVE_\w+)"', serve_source("constants.py"))) == set()
