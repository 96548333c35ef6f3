"""The public door without a cluster: HAProxy as Serve configures and starts it, in front of any HTTP servers.

The configuration is Serve's own code's, the environment and the script are ours, so what a client meets here is what
it meets at a cluster. `python -m tests.doubles.front_process` writes the configuration and becomes HAProxy.
"""

import argparse
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.cluster.ports import free_port
from serving.cluster.ray_environment import serve_environment
from tests.doubles.stand_in_process import until

START_S = 60.0


@dataclass(frozen=True, slots=True)
class Front:
    """A running HAProxy. `port`: where clients come in; `pid`: HAProxy's own; `config`: what it runs with."""

    port: int
    pid: int
    config: Path

    @property
    def url(self) -> str:
        """The public URL."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running_front(folder: Path, *, ports: Sequence[int], health: str = "/health") -> Iterator[Front]:
    """HAProxy in front of servers on loopback `ports`; `health` is the path it checks them by."""
    port = free_port()
    home = folder / f"front-{port}"
    private = [f"RAY_SERVE_HAPROXY_{name}_PORT={free_port()}" for name in ("METRICS", "STATS")]
    environment = serve_environment(home, sockets=Path("/nowhere")) | dict(pair.split("=") for pair in private)
    command = [sys.executable, "-m", "tests.doubles.front_process", str(home), health, str(port), *map(str, ports)]
    process = subprocess.Popen(
        command, env=os.environ | environment, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: _listens(port) or process.poll() is not None, "HAProxy listens", START_S)
        assert process.poll() is None, "HAProxy ended at once"
        yield Front(port, process.pid, home / "cfg")
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _become_haproxy(home: Path, health: str, port: int, ports: Sequence[int]) -> None:
    warnings.simplefilter("ignore")
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig, get_haproxy_binary
    from ray.serve.config import HTTPOptions

    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        socket_path=str(home / "sock"),
        server_state_base=str(home),
        server_state_file=str(home / "state"),
        metrics_socket_path=str(home / "msock"),
        is_head=True,
    )
    servers = [ServerConfig(name=f"gateway-{one}", host="127.0.0.1", port=one) for one in ports]
    gateway = BackendConfig(
        name="http-gateway", path_prefix="/", app_name="gateway", servers=servers, http_health_check_path=health
    )
    file = home / "cfg"
    api = HAProxyApi(config, {gateway.name: gateway}, config_file_path=str(file))
    api.set_backend_configs({gateway.name: gateway})
    api._generate_config_file_internal()
    binary = get_haproxy_binary()
    os.execv(binary, [binary, "-db", "-f", str(file), "-dR"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("health")
    parser.add_argument("port", type=int)
    parser.add_argument("ports", type=int, nargs="+")
    given = parser.parse_args()
    _become_haproxy(given.home, given.health, given.port, given.ports)
