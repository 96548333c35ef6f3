"""What a model is to Millrace: a frozen record of one catalogue entry.

Knows nothing about files, requests in flight, Ray or vLLM. A spec is either an engine (hosted by us on vLLM)
or hosted (an OpenAI-compatible API of somebody else's); exactly one of `engine` and `hosted` is set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | float | bool

OPERATIONS = ("chat", "completions", "responses", "messages", "embeddings", "rerank", "score", "tokenize")
"""Things a client can ask of a model; each is one route of the gateway."""

FEATURES = ("tools", "json", "vision", "audio", "video", "logprobs")
"""Abilities a request may need on top of its operation."""

EMBED_TIER = "embed"
"""The tier of embedding models; it stands outside the ladder."""


@dataclass(frozen=True, slots=True)
class Price:
    """What an answer costs: either time on our hardware, or tokens at somebody else's. All in USD."""

    usd_per_gpu_second: float = 0.0
    """A second of one whole replica: of all its GPUs together, or of its CPUs when it has none."""
    usd_per_input_token: float = 0.0
    usd_per_cached_token: float = 0.0
    usd_per_output_token: float = 0.0

    def cost_usd(self, *, busy_s: float, input_tokens: int, cached_tokens: int, output_tokens: int) -> float:
        """Cost of one attempt. `busy_s`: seconds of the replica attributed to it; tokens: as in OpenAI's usage."""
        return (
            busy_s * self.usd_per_gpu_second
            + max(0, input_tokens - cached_tokens) * self.usd_per_input_token
            + cached_tokens * self.usd_per_cached_token
            + output_tokens * self.usd_per_output_token
        )


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """How one replica of a self-hosted model is started."""

    source: str
    """An existing local folder (absolute), or a Hugging Face id `owner/name`."""
    revision: str | None = None
    quantization: str | None = None
    args: Mapping[str, Scalar] = field(default_factory=dict)
    """vLLM engine arguments by their CLI name without dashes in front, e.g. `{"max-model-len": 1024}`."""
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    tensor_parallel_size: int = 1
    min_replicas: int = 1
    max_replicas: int = 1


@dataclass(frozen=True, slots=True)
class HostedSpec:
    """How a hosted OpenAI-compatible API is reached. The key itself never stands in the catalogue."""

    base_url: str
    """Up to and including the version part, e.g. `https://api.example.com/v1`."""
    model: str
    """The name that API knows the model by."""
    key_env: str | None = None
    key_file: Path | None = None
    stand_in: bool = False
    """True for a test double: announced as such in headers, logs, tables and `/v1/models`."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Per attempt, in seconds."""

    connect_s: float = 2.0
    first_token_s: float = 30.0
    idle_s: float = 30.0
    total_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model that can answer, as the catalogue describes it."""

    name: str
    tier: str
    task: Literal["generate", "embed"]
    context_length: int
    capabilities: frozenset[str]
    """A subset of `OPERATIONS` and `FEATURES`."""
    price: Price
    leaves_premises: bool
    """Data policy: True when prompts sent to this model leave the operator's machines."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    engine: EngineSpec | None = None
    hosted: HostedSpec | None = None

    @property
    def stand_in(self) -> bool:
        """Is this a test double of a hosted API?"""
        return self.hosted is not None and self.hosted.stand_in


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every model by name, and the ladder: tier names from cheapest to dearest."""

    path: Path
    ladder: Sequence[str]
    models: Mapping[str, ModelSpec]

    @property
    def engines(self) -> list[ModelSpec]:
        """The models we host ourselves, in catalogue order."""
        return [m for m in self.models.values() if m.engine is not None]
