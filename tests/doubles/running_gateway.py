"""The real gateway under a real uvicorn server, in front of three stand-ins: two play engines, one a hosted API.

Everything a client can see is real: HTTP, keys, the shipped wiring (`serving.composition`). Only the models are not.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from models.spec import Catalog, EngineSpec, HostedSpec, ModelSpec, Price, Timeouts
from serving.composition import Surroundings, open_house
from serving.edge.server import graceful_server
from serving.gateway import Gateway
from serving.keys import create_key
from serving.settings import Settings
from serving.upstreams.replicas import StaticReplicas
from tests.doubles.difficulty import difficulty_file
from tests.doubles.stand_in_process import KEY, StandInProcess
from tests.error_answer import ErrorAnswer

CHAT = "/v1/chat/completions"
METRICS_TOKEN = "metrics-token"
HASTE = {"drain_notice_s": 0.0, "drain_timeout_s": 2.0}
"""A test that ends does not wait for its server."""
ABLE = frozenset({"chat", "completions", "responses", "messages", "embeddings", "tokenize", "logprobs"})
ASKED = [{"role": "user", "content": "Sort 4 2 3."}]


@dataclass(frozen=True, slots=True)
class House:
    """The stand-ins behind a gateway. The engines' internal token and the hosted key are the stand-ins' one key."""

    small: StandInProcess
    large: StandInProcess
    hosted: StandInProcess

    @property
    def all(self) -> tuple[StandInProcess, ...]:
        """In ladder order."""
        return (self.small, self.large, self.hosted)


@dataclass(frozen=True, slots=True)
class Answer(ErrorAnswer):
    """A whole HTTP answer. `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The `data:` payloads of a stream, decoded; `[DONE]` as it is."""
        payloads = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]

    @property
    def frames(self) -> bytes:
        """The body without SSE comments, which clients skip."""
        return b"".join(frame + b"\n\n" for frame in self.body.split(b"\n\n") if frame and not frame.startswith(b":"))


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """A running gateway, its key, and what stands behind it."""

    url: str
    key: str
    house: House
    session: aiohttp.ClientSession

    async def ask(self, path: str = CHAT, *, key: str | None = "", method: str = "POST", **options: Any) -> Answer:
        """One request. `key`: empty for the valid one, None for none at all; `options` as aiohttp's."""
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["authorization"] = f"Bearer {key or self.key}"
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            kept = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, kept, await response.read())

    async def chat(self, **fields: Any) -> Answer:
        """One chat request to `auto`; `fields` join or replace those of the body."""
        return await self.ask(json=chat_body(**fields))

    async def get(self, path: str, **options: Any) -> Answer:
        """One GET."""
        return await self.ask(path, method="GET", **options)

    async def stop_probing(self) -> None:
        """Wait until every tier is proven, then forget what the stand-ins saw: from now on only the test asks."""
        await eventually(lambda: self._ready(), "the gateway is ready")
        for stand_in in self.house.all:
            await asyncio.to_thread(stand_in.reset)

    async def _ready(self) -> bool:
        return (await self.get("/ready")).status == 200


def chat_body(**fields: Any) -> dict[str, Any]:
    """The body of a chat request to `auto`."""
    return {"model": "auto", "messages": ASKED} | fields


async def eventually(condition: Callable[[], Any], what: str, deadline_s: float = 20.0) -> None:
    """Poll `condition` (plain or async) until it is true; AssertionError naming `what` when it never is."""
    end = time.monotonic() + deadline_s
    while True:
        met = condition()
        if await met if asyncio.iscoroutine(met) else met:
            return
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.02)


def ladder_catalog(house: House, *, timeouts: Timeouts | None = None) -> Catalog:
    """small → large → hosted, each able to do everything the stand-in can."""
    timeouts = timeouts or Timeouts()

    def engine(tier: str) -> ModelSpec:
        return ModelSpec(
            name=f"{tier}-model",
            tier=tier,
            task="generate",
            context_length=4096,
            capabilities=ABLE,
            price=Price(usd_per_gpu_second=0.001),
            leaves_premises=False,
            timeouts=timeouts,
            engine=EngineSpec(source="nobody/nothing", revision="none"),
        )

    hosted = ModelSpec(
        name="hosted-model",
        tier="hosted",
        task="generate",
        context_length=4096,
        capabilities=ABLE,
        price=Price(usd_per_input_token=1e-6, usd_per_output_token=2e-6),
        leaves_premises=True,
        timeouts=timeouts,
        hosted=HostedSpec(base_url=house.hosted.base_url, model="stand-in-1", key_env="HOSTED_KEY", stand_in=True),
    )
    models = {spec.name: spec for spec in (engine("small"), engine("large"), hosted)}
    return Catalog(path=Path("test.yaml"), ladder=("small", "large", "hosted"), models=models)


@asynccontextmanager
async def running_gateway(
    house: House,
    folder: Path,
    *,
    catalog: Catalog | None = None,
    replicas: Mapping[str, Sequence[str]] | None = None,
    scores: Mapping[str, float] | None = None,
    **settings: Any,
) -> AsyncIterator[GatewayServer]:
    """A gateway on a free port with one key.

    `replicas`: URLs by model name, by default one stand-in each; `scores`: what every prompt gets, by default small
    is good enough; `settings` join those of the test.
    """
    urls = replicas if replicas is not None else {"small-model": [house.small.url], "large-model": [house.large.url]}
    around = Surroundings(
        replicas=lambda spec: StaticReplicas(urls.get(spec.name, ())),
        internal_token=KEY,
        metrics_token=METRICS_TOKEN,
        scrape_targets=lambda: [{"targets": ["127.0.0.1:1"]}],
        env={"HOSTED_KEY": KEY},
    )
    fitted = difficulty_file(folder, scores or {"small": 0.9, "large": 0.95})
    given = {"home": str(folder), "probe_interval_s": 0.05, "canary_interval_s": 3600.0, "difficulty_file": str(fitted)}
    read = Settings.from_mapping(HASTE | given | settings, {})
    built = Gateway(lambda: open_house(catalog or ladder_catalog(house), read, around))
    key = create_key(folder / "keys.json", "acme")
    async with _served(built, read) as port, aiohttp.ClientSession(auto_decompress=False) as session:
        yield GatewayServer(f"http://127.0.0.1:{port}", key, house, session)


@asynccontextmanager
async def _served(app: Gateway, settings: Settings) -> AsyncIterator[int]:
    server = graceful_server(app, settings, port=0)
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started or serving.done(), "uvicorn has started")
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await serving
