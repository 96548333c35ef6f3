"""The allow-list: which paths a client may use and what each one asks of a model.

Everything that is not here is a 404, so nothing reaches an engine by a path we did not choose.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Route:
    """One relayed route. `operation`: one of `models.spec.OPERATIONS`; `prompt`: body fields that hold the text."""

    path: str
    operation: str
    prompt: tuple[str, ...]
    streams: bool = False
    anthropic: bool = False


RELAYED: Mapping[str, Route] = {
    route.path: route
    for route in (
        Route("/v1/chat/completions", "chat", ("messages",), streams=True),
        Route("/v1/completions", "completions", ("prompt",), streams=True),
        Route("/v1/responses", "responses", ("input",), streams=True),
        Route("/v1/messages", "messages", ("messages",), streams=True, anthropic=True),
        Route("/v1/messages/count_tokens", "messages", ("messages",), anthropic=True),
        Route("/v1/embeddings", "embeddings", ("input",)),
        Route("/v1/rerank", "rerank", ("query", "documents")),
        Route("/v1/score", "score", ()),
        Route("/tokenize", "tokenize", ("prompt", "messages")),
    )
}
"""Routes whose body goes to a model, by path. All are POST."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One route of what the gateway keeps. `path`: with `{id}` where the object's id stands."""

    method: str
    path: str
    operation: str


STORED = (
    Stored("GET", "/v1/responses/{id}", "responses.retrieve"),
    Stored("DELETE", "/v1/responses/{id}", "responses.delete"),
    Stored("GET", "/v1/responses/{id}/input_items", "responses.input_items"),
    Stored("POST", "/v1/responses/{id}/cancel", "responses.cancel"),
)
"""Routes the gateway answers from its store (serving/responses/door.py)."""

Key = Literal["none", "API key", "metrics token"]


@dataclass(frozen=True, slots=True)
class Control:
    """One route the gateway answers itself. `key`: what opens it; `says`: what it answers."""

    path: str
    key: Key
    says: str


CONTROL: Mapping[str, Control] = {
    route.path: route
    for route in (
        Control("/v1/models", "API key", "the models and `auto`, each with its `tier` and whether it is a `stand_in`"),
        Control("/v1/models/{name}", "API key", "one of them"),
        Control("/health", "none", "that this gateway is alive"),
        Control("/", "none", "the same"),
        Control(
            "/ready", "none", "200 once every tier has produced a real token; until then 503 and what is `missing`"
        ),
        Control("/openapi.json", "none", "this API as an OpenAPI 3.1 document"),
        Control("/metrics", "metrics token", "the gateway's metrics, as Prometheus reads them"),
        Control("/metrics/targets", "metrics token", "what else to scrape, as Prometheus' HTTP discovery reads it"),
    )
}
"""Routes the gateway answers itself, by path. All are GET, and HEAD."""
