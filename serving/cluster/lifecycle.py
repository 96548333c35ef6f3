"""The cluster one home started or joined: its addresses, how to reach and stop it, remembered in `cluster.json`.

Knows processes, Ray's addresses and tokens; nothing of models. Invariant: `stop` ends only what this home started. Of
a cluster that was joined, it removes the applications and leaves Ray running.
"""

import fcntl
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from serving.cluster.home import Home
from serving.cluster.ports import free_port
from serving.cluster.private_file import write_private
from serving.cluster.ray_environment import serve_environment
from serving.cluster.ray_head import ClusterError, RayHead, start_head
from serving.cluster.ray_probe import probe_cluster
from serving.cluster.serve_api import ServeApi
from serving.cluster.state import foreign_apps

START_S = 120.0
"""How long Ray may take to start on a busy machine."""
DRAIN_S = 120.0
"""How long Serve may take to drain and remove everything."""
GRACE_S = 20.0
"""How long Ray's own processes may take to end after that."""
PATIENCE_S = 30.0
"""How long a joined Ray may take to say that it is there: a busy one must not be given up for being slow."""

NEEDED: Mapping[str, str] = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
"""What a Ray to be joined must have been started with: without it engines have no ports of their own."""

_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster at hand. `gcs_address`: host:port Ray processes join by; `token_file`: Ray's token, if it has one.

    `head` and `temp_dir` are set when this home started it, None when it was joined. `gateway_url` is empty until
    something was deployed.
    """

    dashboard_url: str
    gcs_address: str
    token_file: Path | None
    head: RayHead | None = None
    temp_dir: Path | None = None
    gateway_url: str = ""

    @property
    def api(self) -> ServeApi:
        """Serve's REST API of this cluster."""
        return ServeApi(self.dashboard_url, self.token_file.read_text().strip() if self.token_file else None)

    def alive(self) -> bool:
        """Does it still run?"""
        return self.head.alive() if self.head else self.api.answers(timeout_s=PATIENCE_S)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with what a process needs to speak to this cluster's Ray."""
        return _clean(base) | _token_variables(self.token_file)

    def stop(self) -> None:
        """Drain Serve, then end every process this home started. Idempotent."""
        if self.alive():
            _drain(self.api)
        if self.head is not None:
            self.head.stop(grace_s=GRACE_S)
        self._remove_files()

    def kill(self) -> None:
        """End every process this home started, at once."""
        if self.head is not None:
            self.head.kill()
        self._remove_files()

    def _remove_files(self) -> None:
        if self.temp_dir is not None:
            shutil.rmtree(self.temp_dir.parent, ignore_errors=True)


def start_cluster(home: Home, env: Mapping[str, str]) -> Cluster:
    """Start Ray on this machine for `home` and wait until it answers. Raises `ClusterError`; nothing is left then."""
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Ray opens its own folder to everybody: the one above it stays the owner's
    temp_dir = Path(tempfile.mkdtemp(prefix="mr-")) / "r"
    temp_dir.mkdir()
    flags = _flags(home, temp_dir)
    token_file = _ray_token(Path(flags[_TOKEN_PATH]))
    port = free_port()
    environment = (
        _clean(env)
        | flags
        | _own_ports()
        | _token_variables(token_file)
        | _code_path(env)
        | {"MILLRACE_HOME": str(home.path)}
    )
    head = start_head(temp_dir=temp_dir, dashboard_port=port, environment=environment, log=home.ray_log)
    cluster = Cluster(f"http://127.0.0.1:{port}", "", token_file, head=head, temp_dir=temp_dir)
    try:
        save_cluster(home, cluster)
        address = _wait_for_ray(cluster, temp_dir / "ray_current_cluster", home.ray_log)
    except BaseException:  # Ctrl-C too: nothing that was started is left running
        cluster.kill()
        forget_cluster(home, cluster)
        raise
    return replace(cluster, gcs_address=address)


def join_cluster(address: str, env: Mapping[str, str]) -> Cluster:
    """The Ray cluster at `address` (host:port), started by somebody else.

    Raises `ClusterError` when it does not answer, lacks what Serve reads when it starts, or serves other applications,
    which deploying ours would remove.
    """
    joined = probe_cluster(address, list(NEEDED), env)
    cluster = Cluster(joined.dashboard_url, joined.gcs_address, _token_at_hand(env))
    if lacking := [f"{name}={value}" for name, value in NEEDED.items() if joined.environment.get(name) != value]:
        raise ClusterError(f"Ray at {address} was started without {', '.join(lacking)} (docs/operations.md)")
    if others := foreign_apps(cluster.api.details()):
        raise ClusterError(f"Ray at {address} serves other applications, which would be removed: {', '.join(others)}")
    return cluster


def save_cluster(home: Home, cluster: Cluster) -> None:
    """Remember `cluster`, replacing what was remembered."""
    write_private(home.cluster, msgspec.json.format(msgspec.json.encode(cluster, enc_hook=str)))


def load_cluster(home: Home) -> Cluster | None:
    """The cluster this home started or joined, if it still runs; else None, and what was remembered is forgotten."""
    cluster = _remembered(home)
    if cluster is None or cluster.alive():
        return cluster
    cluster.kill()
    forget_cluster(home, cluster)
    return None


def forget_cluster(home: Home, cluster: Cluster) -> None:
    """Nothing of `cluster` runs any more. What is remembered of one started since then stays."""
    remembered = _remembered(home)
    if remembered is not None and remembered.dashboard_url == cluster.dashboard_url:
        home.cluster.unlink(missing_ok=True)


@contextmanager
def only_one(home: Home) -> Iterator[None]:
    """The right to start a cluster for `home`. Raises `ClusterError` while another process has it."""
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(home.lock, "w", opener=_private) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError(f"another `millrace up` is starting the cluster of {home.path}") from error
        yield


def _remembered(home: Home) -> Cluster | None:
    try:
        return msgspec.json.decode(home.cluster.read_bytes(), type=Cluster, dec_hook=lambda kind, text: kind(text))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ClusterError(f"{home.cluster}: not what `millrace up` wrote ({error}); remove it") from error


def _drain(api: ServeApi) -> None:
    """Remove the applications as gently as Serve can; a cluster that no longer answers is not worth waiting for."""
    try:
        api.shut_down(timeout_s=DRAIN_S)
    except ClusterError:
        return


def _wait_for_ray(cluster: Cluster, address_file: Path, log: Path) -> str:
    """The GCS address, once Ray and its dashboard answer."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if not cluster.alive():
            raise ClusterError(f"Ray did not start; the end of {log}:\n{_tail(log)}")
        if address_file.is_file() and cluster.api.answers():
            return address_file.read_text().strip()
        time.sleep(0.2)
    raise ClusterError(f"Ray did not answer within {START_S:g} s; the end of {log}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _ray_token(path: Path) -> Path:
    """The file of Ray's own token: who holds it may run code on the cluster. Made on first use, mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with open(path, "x", opener=_private) as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, mode=0o600)


def _token_at_hand(env: Mapping[str, str]) -> Path | None:
    """Where the token of somebody else's Ray is, by Ray's own rules."""
    path = Path(env.get(_TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    return path if path.is_file() else None


def _flags(home: Home, temp_dir: Path) -> dict[str, str]:
    sockets = temp_dir / "h"
    sockets.mkdir(mode=0o700)
    try:
        return serve_environment(home.path, sockets=sockets)
    except ValueError as error:
        shutil.rmtree(temp_dir.parent)
        raise ClusterError(f"{error}; set TMPDIR to a folder with a shorter path") from error


def _own_ports() -> dict[str, str]:
    """Ports of HAProxy and of Serve's spare proxy, so that two clusters on one machine do not collide."""
    names = ("HAPROXY_METRICS_PORT", "HAPROXY_STATS_PORT", "FALLBACK_PROXY_HTTP_PORT", "FALLBACK_PROXY_GRPC_PORT")
    return {f"RAY_SERVE_{name}": str(free_port()) for name in names}


def _token_variables(token_file: Path | None) -> dict[str, str]:
    return {} if token_file is None else {"RAY_AUTH_MODE": "token", _TOKEN_PATH: str(token_file)}


def _clean(env: Mapping[str, str]) -> dict[str, str]:
    """`env` without what would lead Ray to another cluster."""
    return {name: value for name, value in env.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")}


def _code_path(env: Mapping[str, str]) -> dict[str, str]:
    """PYTHONPATH for the cluster's workers: the code they run is the code this process runs."""
    root = str(Path(__file__).resolve().parents[2])
    if root in (str(Path(path).resolve()) for path in sys.path if "site-packages" in path):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, env.get("PYTHONPATH"))))}
