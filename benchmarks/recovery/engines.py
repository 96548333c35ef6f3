"""What the engine replicas of one model say of themselves: their own `/metrics`, found through the gateway.

Knows the exposition format and the metrics token, nothing of the cluster behind them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

UNFINISHED = "millrace_engine_unfinished"
GENERATED = "millrace_engine_generated_tokens_total"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests not yet answered, and tokens generated since start, over all replicas of the model."""

    unfinished: float
    generated: float


class Engines:
    """The `/metrics` of one model's replicas, asked over connections that stay open."""

    def __init__(self, http: aiohttp.ClientSession, addresses: Sequence[str], token: str) -> None:
        self._http = http
        self._addresses = addresses
        self._headers = bearer(token)

    @classmethod
    async def found(cls, http: aiohttp.ClientSession, gateway_url: str, model: str, token: str) -> "Engines":
        """Those the gateway lists for Prometheus. Raises ValueError when it lists none of `model`."""
        async with http.get(f"{gateway_url}/metrics/targets", headers=bearer(token)) as answer:
            answer.raise_for_status()
            return cls(http, addresses(json.loads(await answer.read()), model), token)

    async def load(self) -> Load:
        """As of now. Raises aiohttp.ClientError when a replica does not answer."""
        texts = [await self._metrics(address) for address in self._addresses]
        return Load(figure(texts, UNFINISHED), figure(texts, GENERATED))

    async def _metrics(self, address: str) -> str:
        async with self._http.get(f"http://{address}/metrics", headers=self._headers) as answer:
            answer.raise_for_status()
            return await answer.text()


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token or an API key."""
    return {"authorization": f"Bearer {token}"}


def addresses(targets: Iterable[Mapping[str, Any]], model: str) -> list[str]:
    """`host:port` of every engine replica of `model` in the scrape targets. Raises ValueError when there is none."""
    chosen = [t for t in targets if t["labels"].get("role") == "engine" and t["labels"].get("model") == model]
    found = [str(address) for target in chosen for address in target["targets"]]
    if not found:
        raise ValueError(f"the gateway lists no engine replica of {model}")
    return found


def figure(texts: Iterable[str], name: str) -> float:
    """The sum of metric `name` over expositions and labels. Raises ValueError when one exposition lacks it."""
    total = 0.0
    for text in texts:
        samples = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] == name]
        if not samples:
            raise ValueError(f"an engine replica shows no {name}")
        total += sum(float(line.rpartition("}")[2].split()[-1]) for line in samples)
    return total
