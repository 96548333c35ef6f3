"""The public API as an OpenAPI 3.1 document, from the very tables that the gateway checks and answers by.

Pure. Requests are described as they are checked: known parameters with their ranges, unknown ones welcome. Answers come
from models and are described only as far as all of them keep to it.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from serving.errors import ConfigError, MillraceError
from serving.wire.limits import InputLimits
from serving.wire.parameters import PARAMETERS
from serving.wire.request import HOSTED_CHOICES, MAX_NAME_CHARS
from serving.wire.routes import CONTROL, RELAYED, STORED, Control, Route, Stored

JsonSchema = Mapping[str, Any]

_TEXT = {"type": "string"}
_FREE = {"type": "object"}
_NAMES = {"type": "array", "items": _TEXT}
_MESSAGES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": _TEXT,
            "content": {"anyOf": [_TEXT, {"type": "array", "items": _FREE}, {"type": "null"}]},
        },
    },
}
_ROUTING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "hosted": {"enum": list(HOSTED_CHOICES)},
        "allow": _NAMES,
        "deny": _NAMES,
        "quality_floor": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    },
}
_ANSWER_KEYS: Mapping[str, tuple[str, ...]] = {
    "chat.completions": ("id", "object", "created", "model", "choices"),
    "completions": ("id", "object", "created", "model", "choices"),
    "responses": ("id", "object", "created_at", "model", "status", "output"),
    "messages": ("id", "type", "role", "model", "content"),
    "messages.count_tokens": ("input_tokens",),
    "embeddings": ("object", "model", "data"),
    "rerank": ("results",),
    "score": ("data",),
    "tokenize": ("count", "tokens"),
}
"""What every whole answer of a route has, whoever gave it."""

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": _TEXT,
            },
        }
    },
}
_ANTHROPIC_ERROR = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {"type": "object", "required": ["type", "message"], "properties": {"type": _TEXT, "message": _TEXT}},
    },
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by", "tier", "stand_in"],
    "properties": {
        "id": _TEXT,
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": _TEXT,
        "tier": _TEXT,
        "stand_in": {"type": "boolean"},
    },
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    },
}
_ALIVE = {"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}}
_READY = {
    "type": "object",
    "required": ["ready", "missing"],
    "properties": {"ready": {"type": "boolean"}, "missing": {"type": "array", "items": _FREE}},
}
_ANSWERS: Mapping[str, JsonSchema] = {
    "/v1/models": _MODELS,
    "/v1/models/{name}": {"$ref": "#/components/schemas/Model"},
    "/health": _ALIVE,
    "/": _ALIVE,
    "/ready": _READY,
    "/openapi.json": _FREE,
    "/metrics/targets": {"type": "array", "items": _FREE},
}
_STORED_ANSWERS: Mapping[str, JsonSchema] = {
    "responses.retrieve": {"type": "object", "required": ["id", "object", "status", "output"]},
    "responses.delete": {"type": "object", "required": ["id", "object", "deleted"]},
    "responses.input_items": {"type": "object", "required": ["object", "data", "has_more"]},
    "responses.cancel": {"type": "object", "required": ["id", "object", "status"]},
}
_PAGING = (
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}},
    {"name": "order", "in": "query", "schema": {"enum": ["asc", "desc"], "default": "desc"}},
    {"name": "after", "in": "query", "schema": _TEXT},
)
_SECURITY: Mapping[str, list[dict[str, list[str]]]] = {
    "none": [],
    "API key": [{"bearer": []}, {"x-api-key": []}],
    "metrics token": [{"bearer": []}, {"x-api-key": []}],
}


def openapi_json(limits: InputLimits) -> bytes:
    """The document, encoded."""
    return msgspec.json.encode(openapi(limits))


def openapi(limits: InputLimits) -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in RELAYED.values():
        paths[route.path] = {"post": _relayed(route)}
    for stored in STORED:
        paths.setdefault(stored.path, {})[stored.method.lower()] = _stored(stored)
    for own in CONTROL.values():
        paths[own.path] = {"get": _control(own)}
    schemas = {f"{_named(route.path)}_request": request_schema(route, limits) for route in RELAYED.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Millrace",
            "version": version("millrace"),
            "description": "OpenAI's API, and Anthropic's messages, answered by the cheapest model that answers well. "
            "Fields not described here pass to the model and back.",
        },
        "security": _SECURITY["API key"],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, "AnthropicError": _ANTHROPIC_ERROR, "Model": _MODEL} | schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def request_schema(route: Route, limits: InputLimits) -> dict[str, Any]:
    """The body `route` takes."""
    known = {one.name: one.kind.schema(limits) for one in PARAMETERS if route.operation in one.operations}
    if "messages" in known:
        known["messages"] = {**known["messages"], **_MESSAGES}
    optional = {name: _or_null(schema) for name, schema in known.items() if name not in route.prompt}
    required = {name: known.get(name, _any_prompt()) for name in route.prompt}
    own = {"model": {**_TEXT, "minLength": 1, "maxLength": MAX_NAME_CHARS}, "routing": _or_null(_ROUTING)}
    if route.streams:
        own["stream"] = _or_null({"type": "boolean"})
    schema: dict[str, Any] = {"type": "object", "required": ["model"], "properties": own | required | optional}
    if len(route.prompt) == 1:
        schema["required"] = ["model", *route.prompt]
    elif route.prompt:
        schema["anyOf"] = [{"required": [name]} for name in route.prompt]
    return schema


@cache
def error_codes() -> Mapping[int, tuple[type[MillraceError], ...]]:
    """Every error a client can be shown, by status."""
    found = [MillraceError]
    for error in found:
        found += [kind for kind in error.__subclasses__() if kind is not ConfigError]
    return {
        status: tuple(kind for kind in found if kind.status == status) for status in sorted({e.status for e in found})
    }


def _relayed(route: Route) -> dict[str, Any]:
    name = _named(route.path)
    answer = {"type": "object", "required": list(_ANSWER_KEYS[name])}
    content: dict[str, Any] = {"application/json": {"schema": answer}}
    if route.streams:
        content["text/event-stream"] = {}  # OpenAPI 3.1 has no words for events
    return {
        "operationId": name,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{name}_request"}},
            },
        },
        "responses": {"200": {"description": "The answer.", "content": content}} | _refusals(anthropic=route.anthropic),
    }


def _stored(stored: Stored) -> dict[str, Any]:
    parameters: list[JsonSchema] = [{"name": "id", "in": "path", "required": True, "schema": _TEXT}]
    if stored.operation == "responses.input_items":
        parameters += _PAGING
    answer = {"application/json": {"schema": _STORED_ANSWERS[stored.operation]}}
    return {
        "operationId": stored.operation,
        "parameters": parameters,
        "responses": {"200": {"description": "What is kept.", "content": answer}} | _refusals(),
    }


def _control(own: Control) -> dict[str, Any]:
    form = "application/json" if own.path in _ANSWERS else "text/plain"
    good = {"description": f"Says {own.says}.", "content": {form: {"schema": _ANSWERS.get(own.path, _TEXT)}}}
    answers = {"200": good} | _refusals()
    if own.path == "/ready":
        answers["503"] = good
    operation: dict[str, Any] = {
        "operationId": _named(own.path),
        "security": _SECURITY[own.key],
        "responses": answers,
    }
    if "{name}" in own.path:
        operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": _TEXT}]
    return operation


def _refusals(*, anthropic: bool = False) -> dict[str, Any]:
    """Our own errors by status, and whatever else a model refuses a request with."""
    schema = {"$ref": f"#/components/schemas/{'AnthropicError' if anthropic else 'Error'}"}
    content = {"application/json": {"schema": schema}}
    named = {
        str(status): {"description": ", ".join(kind.code for kind in kinds), "content": content}
        for status, kinds in error_codes().items()
    }
    return {**named, "4XX": {"description": "The model refuses the request.", "content": content}}


def _named(path: str) -> str:
    """A path as the id of its operation: `chat.completions`, `models.name`."""
    return path.removeprefix("/v1").strip("/").replace("/", ".").translate({ord("{"): None, ord("}"): None}) or "root"


def _or_null(schema: JsonSchema) -> JsonSchema:
    """Null counts as absent everywhere."""
    return {"anyOf": [schema, {"type": "null"}]}


def _any_prompt() -> JsonSchema:
    return {"anyOf": [{**_TEXT, "minLength": 1}, {"type": "array", "minItems": 1}]}
