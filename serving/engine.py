"""The Serve deployment that hosts one engine: starts it, guards it, reports its health, ends it.

Knows nothing of vLLM beyond its adapter, and nothing of requests: the app answers those on the replica's own port.
Nothing gets past `InternalToken`.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp

from models.spec import EngineSpec, ModelSpec
from serving.cluster.secret import internal_token
from serving.cluster.start_failure import EngineStartFailed, is_consequence, root_cause
from serving.replica.app import EngineApp
from serving.replica.cancellation import CancelAsDisconnect
from serving.replica.flags import engine_of, environment, flags
from serving.replica.internal_token import InternalToken
from serving.replica.metrics import EngineCollector
from serving.replica.model_folder import folder_problem, is_local
from serving.replica.process_tree import descendants
from serving.replica.stats import EngineState, EngineStats
from serving.replica.watchdog import Watchdog

DEPLOYMENT = "Engine"
MAX_ONGOING_REQUESTS = 1024
"""Above what any engine batches: queueing is vLLM's business, which orders and refuses by its own limits."""
HEALTH_CHECK_PERIOD_S = 2.0
HEALTH_CHECK_TIMEOUT_S = 30.0
"""A burst of requests keeps the loop busy for seconds; that is not illness."""
START_ATTEMPTS = 3
TARGET_ONGOING_REQUESTS = 16
"""Requests in flight per replica that scaling aims at, until it looks at the engine's own state."""
DRAIN_S = 60.0
LOG_TAIL_BYTES = 65_536


class EngineReplica:
    """One engine in one Serve replica. The class Serve instantiates; see `deployment`."""

    async def __init__(self, spec: ModelSpec) -> None:  # type: ignore[misc]
        self._spec = spec
        self._stats = EngineStats(clock=time.monotonic)
        self._watchdog = Watchdog()
        self._problem: str | None = None
        self._replica = serve.get_replica_context().replica_id.unique_id
        self._engine = start_engine(spec, self._stats)
        self._pids = descendants(os.getpid())

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        from prometheus_client import REGISTRY

        app = EngineApp(CancelAsDisconnect(await self._engine.app()), self._state)
        REGISTRY.register(EngineCollector(self._state))  # the registry behind vLLM's own /metrics
        return InternalToken(app, internal_token())

    async def check_health(self) -> None:
        """Called by Serve; raising counts as ill."""
        self._problem = await self._diagnosis()
        if self._problem is not None:
            raise RuntimeError(f"model {self._spec.name}: {self._problem}")

    async def _diagnosis(self) -> str | None:
        try:
            await self._engine.check()
        except Exception as error:  # noqa: BLE001 - whatever vLLM raises here means the same
            return f"engine is dead: {error}"
        return self._watchdog.observe(
            now=time.monotonic(), unfinished=self._engine.unfinished(), steps=self._stats.steps
        )

    def _state(self) -> EngineState:
        return self._stats.state(
            model=self._spec.name,
            replica=self._replica,
            pid=os.getpid(),
            pids=self._pids,
            unfinished=self._engine.unfinished(),
            problem=self._problem,
        )

    async def __del__(self) -> None:
        if hasattr(self, "_engine"):
            await self._engine.shutdown()


def start_engine(spec: ModelSpec, stats: EngineStats) -> Any:
    """The engine of `spec`, loaded: a `VllmEngine`. Raises `EngineStartFailed` with the reason."""
    engine = engine_of(spec)
    if problem := folder_problem(engine.source):
        raise EngineStartFailed(spec.name, problem)
    from serving.replica.vllm_adapter import VllmEngine

    try:
        return VllmEngine(flags(spec), stats)
    except (Exception, SystemExit) as error:  # anything: a model that does not load must not look like a crash
        raise EngineStartFailed(spec.name, _reason(error)) from error


def _reason(error: BaseException) -> str:
    if is_consequence(str(error)) and (cause := root_cause(_own_log())):
        return cause
    return f"{type(error).__name__}: {error}"


def _own_log() -> str:
    """The end of this process's stderr, which Ray keeps in a file and vLLM's children share."""
    sys.stderr.flush()
    try:
        with Path("/proc/self/fd/2").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")
    except OSError:  # a pipe or a terminal: nothing to read back
        return ""


def deployment(spec: ModelSpec) -> Application:
    """The Serve application that hosts `spec`, with the resources and replicas its catalogue entry names."""
    engine = engine_of(spec)
    ingress = serve.ingress()(EngineReplica)
    return serve.deployment(
        ingress,
        name=DEPLOYMENT,
        ray_actor_options={
            "num_cpus": engine.num_cpus,
            "num_gpus": engine.num_gpus,
            "runtime_env": {"env_vars": environment(spec, local=is_local(engine.source))},
        },
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        health_check_timeout_s=HEALTH_CHECK_TIMEOUT_S,
        graceful_shutdown_timeout_s=DRAIN_S,
        max_constructor_retry_count=START_ATTEMPTS,
        **scaling(engine),
    ).bind(spec)


def scaling(engine: EngineSpec) -> dict[str, Any]:
    """A fixed number of replicas, or Serve's own scaling between two bounds by requests in flight per replica."""
    if engine.min_replicas == engine.max_replicas:
        return {"num_replicas": engine.min_replicas}
    bounds = {"min_replicas": engine.min_replicas, "max_replicas": engine.max_replicas}
    return {"autoscaling_config": bounds | {"target_ongoing_requests": TARGET_ONGOING_REQUESTS}}
