"""What is running, for people and scripts: Serve's details folded into one row per application and replica.

Pure: takes Serve's JSON and the engines' own figures, knows no HTTP and no terminal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from serving.cluster.serve_config import GATEWAY, engine_application
from serving.cluster.start_failure import reason_in

ENGINE_PREFIX = engine_application("")

EngineStates: TypeAlias = Mapping[str, Mapping[str, Any]]
"""`GET /engine/state` of every reachable engine replica, by Serve's replica id."""

_FAILED = ("DEPLOY_FAILED", "UNHEALTHY")


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One replica. `running`, `waiting`: requests in the engine; `kv_usage`: 0 to 1; None when it was not asked."""

    id: str
    state: str
    pid: int | None
    node: str
    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None


@dataclass(frozen=True, slots=True)
class AppState:
    """One application: `name` is the model's name, or `gateway`. `error` is empty when nothing is wrong."""

    name: str
    status: str
    wanted: int
    replicas: tuple[ReplicaState, ...]
    error: str

    @property
    def live(self) -> int:
        """Replicas that are up."""
        return sum(replica.state == "RUNNING" for replica in self.replicas)

    @property
    def failed(self) -> bool:
        """Did it give up starting, or is it unhealthy?"""
        return self.status in _FAILED

    @property
    def settled(self) -> bool:
        """Is it up, or has it given up?"""
        return self.status == "RUNNING" or self.status == "DEPLOY_FAILED"


def app_states(details: Mapping[str, Any], engines: EngineStates | None = None) -> list[AppState]:
    """One `AppState` per application of Serve's `details`, the gateway first, then models by name."""
    applications = details.get("applications", {})
    states = [_app(name, app, engines or {}) for name, app in applications.items()]
    return sorted(states, key=lambda state: (state.name != GATEWAY, state.name))


def foreign_apps(details: Mapping[str, Any]) -> list[str]:
    """Applications on the cluster that are not ours; deploying would remove them."""
    return sorted(
        name for name in details.get("applications", {}) if name != GATEWAY and not name.startswith(ENGINE_PREFIX)
    )


def shown_name(application: str) -> str:
    """What an application is called in tables: an engine by its model's name."""
    return application.removeprefix(ENGINE_PREFIX)


def _app(name: str, app: Mapping[str, Any], engines: EngineStates) -> AppState:
    deployments = list(app.get("deployments", {}).values())
    return AppState(
        name=shown_name(name),
        status=app["status"],
        wanted=sum(deployment.get("target_num_replicas") or 0 for deployment in deployments),
        replicas=tuple(_replica(replica, engines) for one in deployments for replica in one.get("replicas", ())),
        error=_error(app, deployments),
    )


def _replica(replica: Mapping[str, Any], engines: EngineStates) -> ReplicaState:
    identity = replica["replica_id"]
    figures = engines.get(identity, {})
    return ReplicaState(
        id=identity,
        state=replica["state"],
        pid=replica.get("pid"),
        node=replica.get("node_ip") or "",
        running=figures.get("running"),
        waiting=figures.get("waiting"),
        kv_usage=figures.get("kv_usage"),
    )


def _error(app: Mapping[str, Any], deployments: Iterable[Mapping[str, Any]]) -> str:
    """The reason behind a bad status, without the traceback. A healthy application has none."""
    for deployment in deployments:
        if deployment.get("status") != "HEALTHY" and (reason := reason_in(deployment.get("message", ""))):
            return reason
    return reason_in(app.get("message", "")) if app["status"] in _FAILED else ""
