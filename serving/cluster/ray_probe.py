"""Asks a Ray cluster what the commands need to know of it, in a process of its own that prints JSON.

`python -m serving.cluster.ray_probe join ADDRESS`: addresses of the cluster and the Serve flags its processes run with;
`python -m serving.cluster.ray_probe token ADDRESS`: the cluster's internal token. The commands themselves never import
Ray: they start faster, and Ray reads its token and flags from this process's environment.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.cluster.ray_head import ClusterError

PROBE_S = 60.0


@dataclass(frozen=True, slots=True)
class Joined:
    """A running cluster. `environment`: what a process on it sees of the variables asked for."""

    gcs_address: str
    dashboard_url: str
    environment: Mapping[str, str]


def probe_cluster(address: str, names: list[str], env: Mapping[str, str]) -> Joined:
    """Look at the cluster at `address` (host:port, or `auto` for the one on this machine). Raises `ClusterError`."""
    answer = _ask(["join", address, *names], env)
    return Joined(answer["gcs_address"], answer["dashboard_url"], answer["environment"])


def probe_token(gcs_address: str, env: Mapping[str, str]) -> str:
    """The cluster's internal token. Raises `ClusterError`."""
    token: str = _ask(["token", gcs_address], env)["token"]
    return token


def _ask(arguments: list[str], env: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "serving.cluster.ray_probe", *arguments]
    try:
        done = subprocess.run(command, env=dict(env), capture_output=True, timeout=PROBE_S, check=True, text=True)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ClusterError(f"Ray at {arguments[1]} cannot be asked: {reason[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"Ray at {arguments[1]} did not answer within {PROBE_S:g} s") from error
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _join(address: str, names: list[str]) -> dict[str, object]:
    import ray

    def seen() -> dict[str, str]:
        import os

        return {name: os.environ[name] for name in names if name in os.environ}

    context = ray.init(address=address, namespace="millrace", log_to_driver=False, logging_level="error")
    environment = ray.get(ray.remote(num_cpus=0)(seen).remote(), timeout=PROBE_S / 2)
    info = context.address_info
    return {
        "gcs_address": info["gcs_address"],
        "dashboard_url": f"http://{info['webui_url']}",
        "environment": environment,
    }


def _token(gcs_address: str) -> dict[str, object]:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.experimental.internal_kv import _initialize_internal_kv

    from serving.cluster.secret import internal_token

    _initialize_internal_kv(GcsClient(address=gcs_address))
    return {"token": internal_token()}


if __name__ == "__main__":
    found = _join(sys.argv[2], sys.argv[3:]) if sys.argv[1] == "join" else _token(sys.argv[2])
    print(json.dumps(found))
