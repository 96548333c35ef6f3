"""The cluster one home started or joined: its addresses, how to reach and stop it, remembered in `cluster.json`.

Knows processes, Ray's addresses and tokens; nothing of models. Invariant: `stop` ends only what this home started. Of
a cluster that was joined, it removes the applications and leaves Ray running.
"""

import secrets
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serving.home import Home
from serving.ray_environment import serve_environment
from serving.ray_head import ClusterError, RayHead, free_port, start_head
from serving.serve_api import ServeApi

START_S = 90.0
"""How long Ray may take to start on a busy machine."""
DRAIN_S = 120.0
"""How long Serve may take to drain and remove everything."""
GRACE_S = 20.0
"""How long Ray's own processes may take to end after that."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster at hand. `gcs_address`: host:port other Ray processes join by; `token_file`: Ray's token, if any.

    `head` and `temp_dir` are set when this home started it, and None when it was joined.
    """

    dashboard_url: str
    gcs_address: str
    token_file: Path | None
    gateway_url: str = ""
    head: RayHead | None = None
    temp_dir: Path | None = None

    @property
    def api(self) -> ServeApi:
        """Serve's REST API of this cluster."""
        token = self.token_file.read_text().strip() if self.token_file else None
        return ServeApi(self.dashboard_url, token)

    def alive(self) -> bool:
        """Does it still run?"""
        return self.head.alive() if self.head else self.api.answers()

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with what a process needs to speak to this cluster's Ray."""
        env = {name: value for name, value in base.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")}
        if self.token_file is not None:
            env |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file)}
        return env

    def stop(self, *, drain: bool = True) -> None:
        """Drain Serve, then end every process this home started. Idempotent; without `drain` at once."""
        if drain and self.alive():
            _drain(self.api)
        if self.head is not None:
            self.head.stop(grace_s=GRACE_S) if drain else self.head.kill()
        if self.temp_dir is not None:
            shutil.rmtree(self.temp_dir, ignore_errors=True)


def start_cluster(home: Home, env: Mapping[str, str]) -> Cluster:
    """Start Ray on this machine for `home` and wait until it answers. Raises `ClusterError`; nothing is left then."""
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = serve_environment(home.path)
    token_file = _token_file(flags)
    temp_dir = Path(tempfile.mkdtemp(prefix="mr-"))
    port = free_port()
    environment = _start_environment(env, flags, home)
    head = start_head(temp_dir=temp_dir, dashboard_port=port, environment=environment, log=home.ray_log)
    cluster = Cluster(f"http://127.0.0.1:{port}", "", token_file, head=head, temp_dir=temp_dir)
    try:
        address = _wait_for_ray(cluster, temp_dir / "ray_current_cluster", home.ray_log)
    except BaseException:
        cluster.stop(drain=False)
        raise
    return msgspec.structs.replace(cluster, gcs_address=address) if False else _with_address(cluster, address)
