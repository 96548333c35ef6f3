"""The catalogue as it is written down: one pydantic model for each mapping in the file.

Only keys and types live here, and every field has a default, so that an entry with mistakes can still be checked for
more of them; what is required and what fits together is in the `*_checks` modules. Each description is shown in
docs/configuration.md.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt


class Wire(BaseModel):
    """Unknown keys, converted types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class WirePrice(Wire):
    """Either time on our hardware or tokens, never both."""

    usd_per_gpu_second: NonNegativeFloat | None = Field(
        default=None, description="USD for a second of one GPU; without a GPU, of the whole replica."
    )
    usd_per_million_input_tokens: NonNegativeFloat | None = Field(
        default=None, description="USD for 10^6 prompt tokens."
    )
    usd_per_million_cached_tokens: NonNegativeFloat | None = Field(
        default=None, description="USD for 10^6 prompt tokens found in a cache. Default: the price of input tokens."
    )
    usd_per_million_output_tokens: NonNegativeFloat | None = Field(
        default=None, description="USD for 10^6 generated tokens."
    )


class WireTimeouts(Wire):
    """Limits of one attempt, in seconds."""

    connect_s: PositiveFloat = Field(default=2.0, description="Until the connection stands.")
    first_token_s: PositiveFloat = Field(default=30.0, description="Until the first token.")
    idle_s: PositiveFloat = Field(default=30.0, description="Between two tokens.")
    total_s: PositiveFloat = Field(default=300.0, description="For the whole answer.")


class WireResources(Wire):
    """What one replica takes."""

    num_cpus: NonNegativeFloat = Field(default=1.0, description="CPU cores Ray reserves; may be a fraction.")
    num_gpus: NonNegativeFloat = Field(
        default=0.0, description="GPUs Ray reserves; a fraction below 1, or a whole number."
    )
    tensor_parallel_size: PositiveInt = Field(default=1, description="GPUs the weights are split over.")


class WireReplicas(Wire):
    """How many replicas run."""

    min: PositiveInt = Field(default=1, description="Replicas kept at all times.")
    max: PositiveInt | None = Field(default=None, description="Replicas at most. Default: `min`.")


class WireEngine(Wire):
    """A model we host on vLLM."""

    path: str | None = Field(
        default=None, description="Folder with the weights, relative to the catalogue. Either this or `huggingface`."
    )
    huggingface: str | None = Field(default=None, description="Hugging Face id `owner/name`. Either this or `path`.")
    revision: str | None = Field(
        default=None,
        description="Commit or tag of the Hugging Face id; required with it, so that replicas never differ.",
    )
    quantization: str | None = Field(
        default=None, description="vLLM quantization method. Default: what the weights say."
    )
    resources: WireResources = Field(default=WireResources(), description="What one replica takes.")
    replicas: WireReplicas = Field(default=WireReplicas(), description="How many replicas run.")
    args: dict[str, object] = Field(
        default={}, description="Further vLLM options, by their command-line names without the dashes."
    )


class WireHosted(Wire):
    """An OpenAI-compatible API of somebody else's."""

    base_url: str | None = Field(
        default=None, description="Address up to and including the version, e.g. `https://…/v1`."
    )
    model: str | None = Field(default=None, description="The name that API knows the model by.")
    key_env: str | None = Field(
        default=None, description="Environment variable that holds the key. Either this or `key_file`."
    )
    key_file: str | None = Field(default=None, description="File that holds the key, relative to the catalogue.")
    allow_plain_http: bool = Field(default=False, description="Permit `http://` to a host other than this machine.")
    stand_in: bool = Field(default=False, description="A test double: marked as one wherever it answers.")


class WireModel(Wire):
    """One model."""

    name: str | None = Field(default=None, description="What clients ask for. Letters, digits, `.`, `_`, `-`.")
    tier: str | None = Field(default=None, description="A tier of the ladder, or `embed`.")
    task: Literal["generate", "embed"] = Field(default="generate", description="`generate` or `embed`.")
    context_length: PositiveInt | None = Field(default=None, description="Tokens of prompt and answer together.")
    capabilities: list[str] = Field(default=[], description="What clients may ask of it; the list is below.")
    price: WirePrice | None = Field(default=None, description="What an answer costs.")
    leaves_premises: bool | None = Field(
        default=None,
        description="Data policy: do prompts leave your machines? Required with `hosted`; false for engines.",
    )
    timeouts: WireTimeouts = Field(default=WireTimeouts(), description="Limits of one attempt.")
    engine: WireEngine | None = Field(default=None, description="How we host it. Either this or `hosted`.")
    hosted: WireHosted | None = Field(default=None, description="Where it is hosted. Either this or `engine`.")


class WireCatalog(Wire):
    """The top level of the file."""

    ladder: list[str] = Field(default=[], description="Tiers of `model: auto`, cheapest first.")
    models: list[object] = Field(default=[], description="The models.")
