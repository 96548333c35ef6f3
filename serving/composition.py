"""The gateway's wiring: from a catalogue and settings to a `House` with everything a running gateway works with.

With serving/app.py, the only place that builds objects and passes them in. Knows no Ray: where replicas come from, the
internal token and the scrape targets are passed in, so the same gateway runs in Serve and under uvicorn alone.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from models.errors import CatalogError
from models.hosted_keys import check_secrets, read_hosted_key
from models.spec import OPERATIONS, Catalog, ModelSpec
from routing.difficulty import FixedDifficulty, LinearDifficulty
from routing.fitted import DEFAULT_FILE, FittedFileError, decode
from routing.picker import LeastOutstanding
from routing.policy import AUTO, Candidate, LadderPolicy
from serving.dispatch import Dispatcher, Target
from serving.errors import ConfigError
from serving.governance.admission import InFlightLimit
from serving.hosted import HostedUpstream
from serving.house import House
from serving.keys import KeyRing, Tenant
from serving.pipeline import Pipeline, Steps
from serving.settings import Settings
from serving.telemetry import GatewayTelemetry, json_log
from serving.upstreams.engines import EngineUpstream
from serving.upstreams.hosted_http import open_session
from serving.upstreams.readiness import Readiness
from serving.upstreams.replica_http import ReplicaHttp
from serving.upstreams.replicas import ReplicaSource

ANONYMOUS = Tenant(id="anonymous", key_id="-", name="anonymous")
KEY_RELOAD_S = 1.0
RESTART_S = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What differs between running in Serve and alone. `env` holds the hosted APIs' keys."""

    replicas: Callable[[ModelSpec], ReplicaSource]
    internal_token: str
    metrics_token: str
    scrape_targets: Callable[[], Sequence[Mapping[str, Any]]]
    env: Mapping[str, str]


@asynccontextmanager
async def open_house(catalog: Catalog, settings: Settings, around: Surroundings) -> AsyncIterator[House]:
    """Open a gateway's house; closed, its sessions and background tasks are gone. Raises `ConfigError`."""
    if problems := start_problems(catalog, settings, around.env):
        raise ConfigError(problems)
    difficulty = read_difficulty(settings.difficulty_file)
    ring = _key_ring(settings)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        http = await stack.enter_async_context(ReplicaHttp())
        admission = InFlightLimit(settings.max_in_flight)
        telemetry = GatewayTelemetry(json_log(settings.log_level), lambda: admission.in_flight)
        upstreams = build_upstreams(catalog, around, session, http, telemetry)
        readiness = Readiness(list(catalog.models.values()), upstreams, catalog.ladder)
        await _keep_running(stack, lambda: readiness.run(settings.probe_interval_s))
        if ring is not None:
            await _keep_running(stack, lambda: _follow(ring))
        threshold = settings.quality_threshold
        policy = LadderPolicy(difficulty.threshold if threshold is None else threshold)
        steps = Steps(
            models=catalog.models,
            ladders=ladders(catalog),
            policies={AUTO: policy, policy.name: policy},
            admission=admission,
            difficulty=difficulty,
            fallback_difficulty=FixedDifficulty(),
            candidates=lambda: candidates(catalog, readiness.is_live),
            dispatcher=Dispatcher(
                {name: Target(spec, upstreams[name]) for name, spec in catalog.models.items()}, time.perf_counter
            ),
            telemetry=telemetry,
            salt=lru_cache(maxsize=4096)(partial(cache_salt, around.internal_token)),
            clock=time.perf_counter,
            deadline_s=settings.request_timeout_s,
        )
        yield House(
            catalog=catalog,
            policies=(AUTO,),
            authenticate=ring.authenticate if ring is not None else lambda raw: ANONYMOUS,
            pipeline=Pipeline(steps),
            readiness=readiness,
            telemetry=telemetry,
            metrics_token=around.metrics_token,
            scrape_targets=around.scrape_targets,
            max_body_bytes=settings.max_body_bytes,
            body_timeout_s=settings.body_timeout_s,
        )


def start_problems(catalog: Catalog, settings: Settings, env: Mapping[str, str]) -> list[str]:
    """Everything a gateway lacks to start with: hosted keys, the fitted difficulty, the file of API keys."""
    problems = check_secrets(catalog, env)
    for read in (lambda: read_difficulty(settings.difficulty_file), lambda: _key_ring(settings)):
        try:
            read()
        except ConfigError as error:
            problems += error.problems
    return problems


def build_upstreams(
    catalog: Catalog,
    around: Surroundings,
    session: aiohttp.ClientSession,
    http: ReplicaHttp,
    telemetry: GatewayTelemetry,
) -> dict[str, EngineUpstream | HostedUpstream]:
    """An upstream for every model; hosted keys were checked before."""
    upstreams: dict[str, EngineUpstream | HostedUpstream] = {}
    for name, spec in catalog.models.items():
        if spec.hosted is not None:
            key = read_hosted_key(spec.hosted, around.env)
            upstreams[name] = HostedUpstream(spec, spec.hosted, key=key, session=session, clock=time.time)
        else:
            upstreams[name] = EngineUpstream(
                spec,
                source=around.replicas(spec),
                picker=LeastOutstanding(),
                http=http,
                token=around.internal_token,
                clock=time.monotonic,
                chosen=telemetry.chosen,
            )
    return upstreams


def read_difficulty(file: Path | None) -> LinearDifficulty:
    """The fitted score of `file`, by default the shipped one. Raises `ConfigError`."""
    file = file or DEFAULT_FILE
    try:
        return decode(file.read_bytes(), file=file.name)
    except OSError as error:
        raise ConfigError([f"difficulty_file: {file} cannot be read: {error.strerror}"]) from error
    except FittedFileError as error:
        raise ConfigError([f"difficulty_file: {error}"]) from error


def ladders(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Operation → tiers that can do it: of the ladder, or, when none of those can, the tiers outside it."""
    found = {}
    for operation in OPERATIONS:
        able = [spec.tier for spec in catalog.models.values() if operation in spec.capabilities]
        on_ladder = tuple(tier for tier in catalog.ladder if tier in able)
        found[operation] = on_ladder or tuple(dict.fromkeys(able))
    return found


def candidates(catalog: Catalog, is_live: Callable[[str], bool]) -> tuple[Candidate, ...]:
    """The catalogue as the policy sees it right now."""
    return tuple(
        Candidate(spec.name, spec.tier, spec.leaves_premises, spec.capabilities, is_live(spec.name))
        for spec in catalog.models.values()
    )


def cache_salt(internal_token: str, tenant: str) -> str:
    """What keeps a tenant's prefix cache apart from the others': a keyed hash, in base32, of its id."""
    digest = hmac.digest(internal_token.encode(), b"cache-salt:" + tenant.encode(), hashlib.sha256)
    return base64.b32encode(digest).decode().rstrip("=")


def _key_ring(settings: Settings) -> KeyRing | None:
    return KeyRing.load(settings.home / "keys.json") if settings.require_key else None


async def _follow(ring: KeyRing) -> None:
    while True:
        await asyncio.sleep(KEY_RELOAD_S)
        try:
            ring.reload_if_changed()
        except (ConfigError, CatalogError) as error:
            structlog.get_logger().warning("keys_not_reloaded", reason=str(error))


async def _again_and_again(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 — without probes or key reloads a gateway goes stale unseen: say so, go on
            structlog.get_logger().exception("background_work_failed")
        await asyncio.sleep(RESTART_S)


async def _keep_running(stack: contextlib.AsyncExitStack, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.ensure_future(_again_and_again(work))

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)
