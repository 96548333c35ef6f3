"""The live replicas of one Serve application, read from Serve's own router in this process.

The only module over these partly private names; tests/cluster/test_serve_replicas.py holds them to a real cluster.
Reading costs microseconds and no call to another process; Serve pushes changes. Must not be imported by the gateway.
"""

from collections.abc import Sequence
from typing import Any

from routing.picker import Replica

LOOPBACK = "127.0.0.1"


class ServeReplicas:
    """See `serving.upstreams.replicas.ReplicaSource`. `app` and `deployment`: Serve's names of what is looked at.

    Create it in the event loop that reads it. Serve need not know the application yet.
    """

    def __init__(self, app: str, deployment: str = "Engine") -> None:
        from ray.runtime_context import get_runtime_context
        from ray.serve.handle import DeploymentHandle

        self._node = get_runtime_context().get_node_id()
        # Built by name: `serve.get_app_handle` asks the controller first and refuses what is not deployed yet.
        self._handle: Any = DeploymentHandle(deployment, app)
        self._handle._init()

    def replicas(self) -> Sequence[Replica]:
        """See `ReplicaSource.replicas`."""
        router = self._handle._router._asyncio_router.request_router
        if router is None:  # until Serve's first push arrives
            return []
        return [
            Replica(id=replica_id.unique_id, url=f"http://{self._host(running)}:{running.backend_http_endpoint[1]}")
            for replica_id, running in list(router.curr_replicas.items())
            if running.backend_http_endpoint is not None
        ]

    def _host(self, running: Any) -> str:
        """Loopback for a replica beside us: on a laptop it listens nowhere else."""
        return LOOPBACK if running.node_id == self._node else str(running.backend_http_endpoint[0])
