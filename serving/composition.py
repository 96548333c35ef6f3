"""The gateway's wiring: from a catalogue and settings to a `House` with everything a running gateway works with.

With serving/app.py, the only place that builds objects and passes them in. Knows no Ray: where replicas come from, the
internal token and the scrape targets are passed in, so the same gateway runs in Serve and under uvicorn alone.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from models.errors import CatalogError
from models.hosted_keys import check_secrets, read_hosted_key
from models.spec import OPERATIONS, Catalog, ModelSpec
from routing.breaker import Breaker, BreakerRules
from routing.difficulty import FixedDifficulty, LinearDifficulty
from routing.fitted import DEFAULT_FILE, FittedFileError, decode
from routing.picker import LeastOutstanding
from routing.policy import AUTO, Candidate, LadderPolicy
from routing.retry import RetryBudget, RetryRules
from serving.dispatch import Dispatcher, Target
from serving.errors import ConfigError
from serving.governance.admission import InFlightLimit, Intake
from serving.governance.rates import Metered, Rates, Unlimited
from serving.hosted import HostedUpstream
from serving.house import House
from serving.keys import KeyRing, Tenant
from serving.media.inline import Media
from serving.media.limits import MediaLimits
from serving.media.location import HostList
from serving.pipeline import Pipeline, Steps
from serving.record import Record
from serving.responses.background import Background
from serving.responses.desk import ResponseDesk
from serving.responses.purging import purge_forever
from serving.retrying import Retrying
from serving.settings import Settings
from serving.store.database import Database, database_url
from serving.store.sql_responses import SqlResponses
from serving.telemetry import GatewayTelemetry, json_log
from serving.upstreams.engines import EngineUpstream
from serving.upstreams.hosted_http import open_session
from serving.upstreams.readiness import Probed, Readiness
from serving.upstreams.replica_http import ReplicaHttp
from serving.upstreams.replicas import ReplicaSource
from serving.upstreams.roster import Roster
from serving.upstreams.upstream import Upstream
from serving.wire.limits import InputLimits
from serving.wire.openapi import openapi_json
from serving.wire.routes import RELAYED

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
        breakers = build_breakers(catalog, settings)
        telemetry = GatewayTelemetry(
            json_log(settings.log_level), lambda: admission.in_flight, lambda: breaker_states(breakers)
        )
        upstreams = build_upstreams(catalog, settings, around, session, http, telemetry)
        readiness = await open_readiness(stack, catalog, settings, upstreams, telemetry)
        if ring is not None:
            await _keep_running(stack, lambda: _follow(ring))
        dispatcher = build_dispatcher(catalog, settings, upstreams, breakers)
        steps = build_steps(catalog, settings, around, difficulty, admission, readiness, dispatcher, telemetry)
        pipeline, rates, intake = Pipeline(steps), build_rates(settings, admission), Intake(admission)
        yield House(
            catalog=catalog,
            policies=(AUTO,),
            authenticate=ring.authenticate if ring is not None else lambda raw: ANONYMOUS,
            pipeline=pipeline,
            media=build_media(settings),
            responses=await open_responses(stack, settings, pipeline, telemetry, rates, intake),
            readiness=readiness,
            telemetry=telemetry,
            metrics_token=around.metrics_token,
            scrape_targets=around.scrape_targets,
            limits=InputLimits.of(settings),
            openapi=cache(partial(openapi_json, InputLimits.of(settings))),
            rates=rates,
            intake=intake,
        )


def start_problems(catalog: Catalog, settings: Settings, env: Mapping[str, str]) -> list[str]:
    """Everything a gateway lacks to start with: hosted keys, the fitted difficulty, the file of API keys."""
    problems = check_secrets(catalog, env)
    for read in (
        lambda: read_difficulty(settings.difficulty_file),
        lambda: _key_ring(settings),
        lambda: HostList.of(settings.media_hosts),
        lambda: _check_routes(settings),
        lambda: database_url(settings.store_url, settings.home),
    ):
        try:
            read()
        except ConfigError as error:
            problems += error.problems
    return problems


def build_media(settings: Settings) -> Media:
    """What checks and fetches images and files; hosts were checked before. Raises `ConfigError`."""
    limits = MediaLimits(
        bytes=settings.max_media_bytes,
        pixels=settings.max_image_pixels,
        urls=settings.max_media_urls,
        timeout_s=settings.media_timeout_s,
        fetches=settings.max_media_fetches,
    )
    return Media(limits, HostList.of(settings.media_hosts))


async def open_readiness(
    stack: contextlib.AsyncExitStack,
    catalog: Catalog,
    settings: Settings,
    upstreams: Mapping[str, Probed],
    telemetry: GatewayTelemetry,
) -> Readiness:
    """What tells which tiers are proven; it probes until `stack` is left."""
    readiness = Readiness(
        list(catalog.models.values()),
        upstreams,
        catalog.ladder,
        probe_timeout_s=settings.probe_timeout_s,
        probed=telemetry.probed,
    )
    await _keep_running(stack, lambda: readiness.run(settings.probe_interval_s))
    return readiness


async def open_responses(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    pipeline: Pipeline,
    telemetry: GatewayTelemetry,
    rates: Rates,
    intake: Intake,
) -> ResponseDesk:
    """The state of the Responses API; left with `stack`, its background responses have ended. Raises `ConfigError`."""

    def settle(record: Record) -> None:
        now = time.perf_counter()
        rates.charge(record.tenant, record.usage.input + record.usage.output, now=now)
        telemetry.settled(record, now=now)

    database = await stack.enter_async_context(Database(database_url(settings.store_url, settings.home)))
    store = SqlResponses(database)
    background = Background(store, pipeline.answer, settle, limit=settings.max_background_responses, now=time.time)
    await _keep_running(stack, background.beat_forever)
    await _keep_running(stack, lambda: purge_forever(store, settings.response_ttl_days, now=time.time))
    stack.push_async_callback(background.stop)
    return ResponseDesk(
        store, pipeline.answer, background, waiting=intake, max_bytes=settings.response_max_bytes, now=time.time
    )


def build_steps(
    catalog: Catalog,
    settings: Settings,
    around: Surroundings,
    difficulty: LinearDifficulty,
    admission: InFlightLimit,
    readiness: Readiness,
    dispatcher: Dispatcher,
    telemetry: GatewayTelemetry,
) -> Steps:
    """What the pipeline needs; it decides anew for every request who is live."""
    threshold = settings.quality_threshold
    policy = LadderPolicy(difficulty.threshold if threshold is None else threshold)
    return Steps(
        models=catalog.models,
        ladders=ladders(catalog),
        policies={AUTO: policy, policy.name: policy},
        admission=admission,
        difficulty=difficulty,
        fallback_difficulty=FixedDifficulty(),
        candidates=lambda: candidates(catalog, readiness.is_live),
        dispatcher=dispatcher,
        telemetry=telemetry,
        salt=lru_cache(maxsize=4096)(partial(cache_salt, around.internal_token)),
        clock=time.perf_counter,
        deadline_s=settings.request_timeout_s,
        keepalive_s=settings.keepalive_s,
        write_timeout_s=settings.write_timeout_s,
    )


def build_dispatcher(
    catalog: Catalog, settings: Settings, upstreams: Mapping[str, Upstream], breakers: Mapping[str, Breaker]
) -> Dispatcher:
    """Sends to every model of the catalogue, under its breaker and this gateway replica's retry budget."""
    targets = {name: Target(spec, upstreams[name]) for name, spec in catalog.models.items()}
    return Dispatcher(targets, time.perf_counter, breakers=breakers, retrying=build_retrying(settings))


def build_breakers(catalog: Catalog, settings: Settings) -> dict[str, Breaker]:
    """A breaker for every model."""
    rules = BreakerRules(
        window_s=settings.breaker_window_s,
        failure_share=settings.breaker_failure_share,
        min_calls=settings.breaker_min_calls,
        open_s=settings.breaker_open_s,
    )
    return {name: Breaker(rules, random.random) for name in catalog.models}


def breaker_states(breakers: Mapping[str, Breaker]) -> dict[str, int]:
    """What the metric shows right now."""
    now = time.perf_counter()
    return {name: int(breaker.state(now)) for name, breaker in breakers.items()}


def build_retrying(settings: Settings) -> Retrying:
    """The retry budget of this gateway replica, and the pauses."""
    rules = RetryRules(ratio=settings.retry_ratio, floor=settings.retry_floor)
    return Retrying(rules, RetryBudget(rules), random.random, asyncio.sleep)


def build_rates(settings: Settings, admission: InFlightLimit) -> Rates:
    """The limits a minute that the settings set; without any, the headers show the places in flight."""
    unlimited = Unlimited(settings.max_in_flight, lambda: admission.in_flight)
    requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
    if requests is None and tokens is None:
        return unlimited
    return Metered(requests=requests, tokens=tokens, otherwise=unlimited)


def _check_routes(settings: Settings) -> None:
    unknown = [path for path in settings.max_body_bytes_by_route if path not in RELAYED]
    if unknown:
        known = ", ".join(RELAYED)
        raise ConfigError([f"max_body_bytes_by_route: {path} is no such route; there are {known}" for path in unknown])


def build_upstreams(
    catalog: Catalog,
    settings: Settings,
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
                roster=Roster(
                    canary_interval_s=settings.canary_interval_s, changed=partial(telemetry.service_changed, name)
                ),
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
