"""Every setting of the gateway, with its default: one frozen object, read once at start.

`MILLRACE_<NAME>` variables override what a file says; they are the only environment variables read for settings.
Knows nothing of what the settings do. Unknown names are refused with the nearest valid one.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from models.document import Document, Location, Problem
from models.wire import parse
from serving.errors import ConfigError

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
    max_body_bytes: PositiveInt = Field(default=4 * 1024 * 1024, description="Largest request body; over it, 413.")
    body_timeout_s: PositiveFloat = Field(default=30.0, description="Time a client has to send its body; then 408.")
    max_in_flight: PositiveInt = Field(
        default=1024, description="Requests one gateway replica works on at once; over it, 503."
    )
    request_timeout_s: PositiveFloat = Field(
        default=300.0, description="Time for one request, all attempts and the whole stream together; then 504."
    )
    probe_interval_s: PositiveFloat = Field(
        default=1.0, description="Pause between two rounds of asking every replica for a token, for `/ready`."
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
