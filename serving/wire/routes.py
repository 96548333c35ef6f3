"""The allow-list: which paths a client may use and what each one asks of a model.

Everything that is not here is a 404, so nothing reaches an engine by a path we did not choose.
"""

from collections.abc import Mapping
from dataclasses import dataclass


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
        Route("/v1/embeddings", "embeddings", ("input",)),
        Route("/v1/rerank", "rerank", ("query", "documents")),
        Route("/v1/score", "score", ()),
        Route("/tokenize", "tokenize", ("prompt", "messages")),
    )
}
"""Routes whose body goes to a model, by path. All are POST."""

CONTROL = ("/health", "/ready", "/metrics", "/metrics/targets", "/v1/models")
"""Routes the gateway answers itself. All are GET; `/v1/models/{name}` too."""
