"""The live replicas of one Serve application, read from Serve's own router in this process.

The only module over these partly private names; tests/cluster/test_serve_replicas.py holds them to a real cluster.
Reading costs microseconds and no call to another process; Serve pushes changes. Must not be imported by the gateway.
"""

from collections.abc import Sequence
from typing import Any

from routing.picker import Replica


class ServeReplicas:
    """See `serving.replicas.ReplicaSource`. `app`: name of the application; its ingress deployment is meant."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._handle: Any = None

    def replicas(self) -> Sequence[Replica]:
        """See `ReplicaSource.replicas`. Before the application exists this asks the controller on every call."""
        router = self._router()
        if router is None:
            return []
        live = (_replica(replica_id, running) for replica_id, running in list(router.curr_replicas.items()))
        return [replica for replica in live if replica is not None]

    def _router(self) -> Any:
        if self._handle is None:
            self._handle = _connect(self._app)
        if self._handle is None:
            return None
        # `request_router` is None until Serve's first push has arrived
        return self._handle._router._asyncio_router.request_router


def _connect(app: str) -> Any:
    from ray.serve.handle import DeploymentHandle

    # Built by name rather than with `get_app_handle`, which asks the controller and refuses unknown applications.
    handle = DeploymentHandle("Engine", app)
    handle._init()
    return handle


def _replica(replica_id: Any, running: Any) -> Replica | None:
    endpoint = running.backend_http_endpoint
    if endpoint is None:
        return None
    host, port = endpoint
    return Replica(id=replica_id.unique_id, url=f"http://{host}:{port}")
