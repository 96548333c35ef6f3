"""Every setting of the gateway, with its default: one frozen object, read once at start.

`MILLRACE_<NAME>` variables override what a file says; they are the only environment variables read for settings.
Knows nothing of what the settings do. Unknown names are refused with the nearest valid one.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.document import Document, Location, Problem
from models.wire import parse
from serving.errors import ConfigError
from serving.wire.limits import DEFAULTS

ENV_PREFIX = "MILLRACE_"
ENVIRONMENT = "environment"
SOURCE = Path("settings")
"""What a message names as the place when the settings come from no file."""


class Settings(BaseModel):
    """What an operator may change. Units are in the names; each description is shown in docs/configuration.md."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    home: Path = Field(
        default=Path("~/.millrace"),
        strict=False,
        description="Folder of the API keys and of what `millrace up` started.",
    )
    require_key: bool = Field(default=True, description="Refuse requests without an API key (401).")
    max_body_bytes: PositiveInt = Field(
        default=DEFAULTS.max_body_bytes, description="Largest request body, decompressed; over it, 413."
    )
    body_timeout_s: PositiveFloat = Field(
        default=DEFAULTS.body_timeout_s, description="Time a client has to send its body; then 408."
    )
    max_header_bytes: PositiveInt = Field(
        default=DEFAULTS.max_header_bytes,
        description="Names and values of all headers of a request together; over it, 431.",
    )
    max_headers: PositiveInt = Field(default=DEFAULTS.max_headers, description="Headers of one request; over it, 431.")
    max_body_bytes_by_route: dict[str, PositiveInt] = Field(
        default={}, description="Other limits for some routes, by path: `{/v1/embeddings: 1048576}`."
    )
    max_gzip_ratio: PositiveInt = Field(
        default=DEFAULTS.max_gzip_ratio, description="How many times its size a gzip body may grow; over it, 413."
    )
    min_body_bytes_per_s: PositiveInt = Field(
        default=DEFAULTS.min_body_bytes_per_s,
        description="Rate a body must keep to after its first 10 s; below it, 408.",
    )
    max_json_depth: PositiveInt = Field(
        default=DEFAULTS.max_json_depth, description="Levels of objects and lists in a body; over it, 400."
    )
    max_n: PositiveInt = Field(default=DEFAULTS.max_n, description="Largest `n` and `best_of`.")
    max_logprobs: PositiveInt = Field(
        default=DEFAULTS.max_logprobs, description="Largest `top_logprobs`, and `logprobs` of completions."
    )
    max_stop: PositiveInt = Field(default=DEFAULTS.max_stop, description="Strings in `stop`.")
    max_stop_chars: PositiveInt = Field(default=DEFAULTS.max_stop_chars, description="Characters of one stop string.")
    max_tools: PositiveInt = Field(default=DEFAULTS.max_tools, description="Tools of one request.")
    max_schema_bytes: PositiveInt = Field(
        default=DEFAULTS.max_schema_bytes,
        description="Size of one JSON schema: of a tool, a response format or structured output.",
    )
    max_schema_depth: PositiveInt = Field(
        default=DEFAULTS.max_schema_depth, description="Levels of objects and lists in one JSON schema."
    )
    max_pattern_chars: PositiveInt = Field(
        default=DEFAULTS.max_pattern_chars, description="Length of one regular expression."
    )
    max_grammar_chars: PositiveInt = Field(default=DEFAULTS.max_grammar_chars, description="Length of one grammar.")
    max_logit_bias: PositiveInt = Field(default=DEFAULTS.max_logit_bias, description="Entries of `logit_bias`.")
    max_messages: PositiveInt = Field(
        default=DEFAULTS.max_messages, description="Messages, or items of a Responses input."
    )
    max_prompts: PositiveInt = Field(default=DEFAULTS.max_prompts, description="Prompts of one completions request.")
    max_inputs: PositiveInt = Field(
        default=DEFAULTS.max_inputs, description="Texts of one request for embeddings, scores or a ranking."
    )
    header_timeout_s: PositiveFloat = Field(
        default=10.0, description="Without HAProxy in front: time for the headers of a request; then 408."
    )
    keep_alive_timeout_s: PositiveFloat = Field(
        default=75.0, description="Without HAProxy in front: time a connection may be idle between two requests."
    )
    max_connections: PositiveInt = Field(
        default=4096, description="Without HAProxy in front: open connections; over it, 503."
    )
    drain_notice_s: NonNegativeFloat = Field(
        default=3.0,
        description="When the gateway alone is told to stop: time `/ready` says 503 before its port closes.",
    )
    drain_timeout_s: PositiveFloat = Field(
        default=60.0, description="Time running answers have when a gateway stops; then they end with an error."
    )
    max_in_flight: PositiveInt = Field(
        default=1024, description="Requests one gateway replica works on at once; over it, 503."
    )
    requests_per_minute: PositiveInt | None = Field(
        default=None, description="Requests a minute of one tenant, per gateway replica; over it, 429."
    )
    tokens_per_minute: PositiveInt | None = Field(
        default=None, description="Tokens a minute of one tenant, input and output, per gateway replica; over it, 429."
    )
    request_timeout_s: PositiveFloat = Field(
        default=300.0, description="Time for one request, all attempts and the whole stream together; then 504."
    )
    keepalive_s: PositiveFloat = Field(
        default=10.0, description="Silence after which a stream's client is sent a comment, so that nothing cuts it."
    )
    write_timeout_s: PositiveFloat = Field(
        default=30.0, description="Time a stream's client may stop reading; then its connection is cut."
    )
    media_hosts: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Hosts that images and files are fetched from over https: `cdn.example.com` or `*.example.com`.",
    )
    max_media_bytes: PositiveInt = Field(
        default=20 * 1024 * 1024, description="Images and files of one request together, sent or fetched; over it, 400."
    )
    max_image_pixels: PositiveInt = Field(
        default=50_000_000, description="Width times height of one image; over it, 400."
    )
    max_media_urls: PositiveInt = Field(default=16, description="URLs fetched for one request; over it, 400.")
    media_timeout_s: PositiveFloat = Field(default=10.0, description="Time for all fetches of one request; then 400.")
    max_media_fetches: PositiveInt = Field(default=16, description="Fetches that run at once in one gateway replica.")
    store_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL of the database that stored responses are kept in. Default: `state.db` in `home`.",
    )
    response_ttl_days: PositiveFloat = Field(default=30.0, description="How long a stored response is kept.")
    response_max_bytes: PositiveInt = Field(
        default=16 * 1024 * 1024, description="Most that is kept of one response, its conversation included; then 413."
    )
    max_background_responses: PositiveInt = Field(
        default=64, description="Background responses one gateway replica works on at once; over it, 503."
    )
    probe_interval_s: PositiveFloat = Field(
        default=1.0, description="Pause between two looks for replicas that must prove themselves with a token."
    )
    probe_timeout_s: PositiveFloat = Field(
        default=10.0, description="Time a replica has for that token; without it, it gets no traffic until one comes."
    )
    canary_interval_s: PositiveFloat = Field(
        default=5.0, description="Time without an answer after which a replica that was proven is asked again."
    )
    retry_ratio: float = Field(
        default=0.2, ge=0, le=1, description="Attempts beyond a request's first, as a share of the minute's requests."
    )
    retry_floor: NonNegativeInt = Field(
        default=10, description="Such attempts that are allowed in any minute, however few the requests."
    )
    breaker_window_s: PositiveFloat = Field(
        default=30.0, description="Time over which a model's failures are counted before it is left alone."
    )
    breaker_failure_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of failures in it at which a model is left alone."
    )
    breaker_min_calls: PositiveInt = Field(
        default=10, description="Attempts the share must be one of; five failures in a row do without."
    )
    breaker_open_s: PositiveFloat = Field(
        default=5.0, description="Longest first time a model is left alone; doubles while it goes on failing, up to 60."
    )
    quality_threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Least score at which `model: auto` starts at a tier. Default: what the fitted file recommends.",
    )
    difficulty_file: Path | None = Field(
        default=None, strict=False, description="Fitted difficulty model. Default: the one shipped in `routing/`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log line written."
    )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object], env: Mapping[str, str]) -> "Settings":
        """Settings from a config's mapping, overridden by `env`. Raises `ConfigError` with every problem."""
        document = Document(SOURCE, dict(mapping))
        settings = read_settings(document, env=env)
        if document.problems:
            raise ConfigError(document.report())
        return settings


def read_settings(document: Document, at: Location = (), *, env: Mapping[str, str]) -> Settings:
    """The settings at `at` in a document; problems are noted in it, and defaults stand in for what is wrong."""
    given = document.at(at)
    settings, problems = parse(Settings, given, at)
    document.add(*problems)
    overrides = {name: _read(text) for name, text in _overrides(env).items()}
    _, wrong = parse(Settings, overrides)
    document.add(*(Problem((variable(str(p.location[0])),), p.message, ENVIRONMENT) for p in wrong))
    document.add(*_misspelt(env))
    merged = {**settings.model_dump(exclude_unset=True), **overrides}
    settings, _ = parse(Settings, merged)
    return settings.model_copy(update={"home": settings.home.expanduser()})


def variable(name: str) -> str:
    """The environment variable that overrides setting `name`."""
    return ENV_PREFIX + name.upper()


def _overrides(env: Mapping[str, str]) -> dict[str, str]:
    """Settings given in the environment; an empty variable counts as absent."""
    return {name: env[variable(name)] for name in Settings.model_fields if env.get(variable(name))}


def _read(text: str) -> object:
    """A variable's text as YAML reads it, so that `8` is a number and `false` a truth value."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _misspelt(env: Mapping[str, str]) -> list[Problem]:
    """Variables that are nearly a setting's; others with the prefix may hold keys of hosted APIs."""
    valid = [variable(name) for name in Settings.model_fields]
    strangers = [name for name in env if name.startswith(ENV_PREFIX) and name not in valid]
    near = {name: difflib.get_close_matches(name, valid, 1, 0.9) for name in strangers}
    return [
        Problem((name,), f"no such setting; did you mean '{match[0]}'?", ENVIRONMENT)
        for name, match in near.items()
        if match
    ]
