"""A client's request once it has been checked: what the pipeline works on.

Knows the wire format of the relayed routes just far enough to route and to account; everything else passes through.
Raises `BadRequest` naming the field and the fix.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

import msgspec

from routing.policy import Hosted
from serving.errors import BadRequest
from serving.wire.content import abilities, refuse_tensors
from serving.wire.json_guard import decode_object, json_type
from serving.wire.limits import DEFAULTS, InputLimits
from serving.wire.parameters import check_parameters
from serving.wire.routes import Route
from serving.wire.withheld import DROPPED

HOSTED_CHOICES: tuple[Hosted, ...] = get_args(Hosted)
MAX_NAME_CHARS = 256
"""The longest model name or routing key that is looked at: both come back in error messages, a model in the log too."""

_ROUTING_KEYS = ("allow", "deny", "hosted", "quality_floor")
_FUNCTION_TOOLS: Mapping[str, tuple[object, ...]] = {
    "chat": (None, "function"),
    "responses": ("function",),
    "messages": (None, "custom"),
}
"""Operation → types of the tools a model must be able to call; others (web search, namespaces) are no ability of it."""


class RoutingOptions(msgspec.Struct, frozen=True):
    """The `routing` object of a body: how the client tunes one request."""

    hosted: Hosted = "any"
    allow: frozenset[str] = frozenset()
    """Model or tier names; empty means every one."""
    deny: frozenset[str] = frozenset()
    quality_floor: float | None = None
    """Least acceptable P(answers well), in [0, 1]; None takes the policy's own."""


class Request(msgspec.Struct, frozen=True):
    """A checked request."""

    id: str
    route: Route
    model: str
    stream: bool
    wants_usage: bool
    """The client asked for the final usage chunk of a stream."""
    body: Mapping[str, Any]
    routing: RoutingOptions = msgspec.field(default_factory=RoutingOptions)
    relayed_headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    timeout_s: float | None = None
    """The client's own deadline for the whole request, seconds; None leaves it to the gateway."""


def parse_request(
    route: Route,
    raw: bytes,
    *,
    request_id: str,
    headers: Mapping[str, str],
    limits: InputLimits = DEFAULTS,
    timeout_s: float | None = None,
) -> Request:
    """Check `raw` against `route`. Raises `BadRequest` for what cannot be routed or is no valid value."""
    body = decode_object(raw, max_depth=limits.max_json_depth)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest('model: must be a non-empty string; use "auto" or a name from /v1/models', param="model")
    if len(model) > MAX_NAME_CHARS:
        raise BadRequest(f"model: longer than {MAX_NAME_CHARS} characters; /v1/models lists the names", param="model")
    stream = False if body.get("stream") is None else body["stream"]
    if not isinstance(stream, bool):
        raise BadRequest(f"stream: must be true or false, not {json_type(stream)}", param="stream")
    if stream and not route.streams:
        raise BadRequest(f"stream: {route.path} does not stream; leave it out", param="stream")
    _check_prompt(route, body)
    check_parameters(route.operation, body, limits)
    return Request(
        id=request_id,
        route=route,
        model=model,
        stream=stream,
        wants_usage=_wants_usage(body),
        body=body,
        routing=_routing_options(body.get("routing")),
        relayed_headers=headers,
        timeout_s=timeout_s,
    )


def _check_prompt(route: Route, body: Mapping[str, Any]) -> None:
    present = [name for name in route.prompt if body.get(name) is not None]
    if route.prompt and not present:
        raise BadRequest(f"{route.prompt[0]}: missing; {route.path} needs it", param=route.prompt[0])
    for name in present:
        value = body[name]
        if name == "messages":
            _check_messages(value)
        if name in ("messages", "input"):
            refuse_tensors(value, field=name)
        if not isinstance(value, str | list) or not value:
            raise BadRequest(f"{name}: must be a non-empty string or list, not {json_type(value)}", param=name)


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise BadRequest(f"messages: must be a non-empty list of objects, not {json_type(messages)}", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadRequest(
                f"messages[{index}]: must be an object with role and content, not {json_type(message)}",
                param=f"messages[{index}]",
            )
        if not isinstance(message.get("role"), str):
            raise BadRequest(f"messages[{index}].role: must be a string", param=f"messages[{index}].role")


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _routing_options(raw: Any) -> RoutingOptions:
    if raw is None:
        return RoutingOptions()
    if not isinstance(raw, dict):
        raise BadRequest(f"routing: must be an object, not {json_type(raw)}", param="routing")
    for key in raw:
        if key not in _ROUTING_KEYS:
            name = key[:MAX_NAME_CHARS]
            near = get_close_matches(name, _ROUTING_KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(_ROUTING_KEYS)}"
            raise BadRequest(f"routing.{name}: unknown key; {hint}", param=f"routing.{name}")
    hosted = raw.get("hosted", "any")
    if hosted not in HOSTED_CHOICES:
        raise BadRequest(f"routing.hosted: must be one of {', '.join(HOSTED_CHOICES)}", param="routing.hosted")
    floor = raw.get("quality_floor")
    if floor is not None and (isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 <= floor <= 1):
        raise BadRequest("routing.quality_floor: must be a number from 0 to 1", param="routing.quality_floor")
    return RoutingOptions(hosted=hosted, allow=_names(raw, "allow"), deny=_names(raw, "deny"), quality_floor=floor)


def _names(raw: Mapping[str, Any], key: str) -> frozenset[str]:
    names = raw.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest(f"routing.{key}: must be a list of model or tier names", param=f"routing.{key}")
    return frozenset(names)


def needs_of(request: Request) -> frozenset[str]:
    """Capabilities a model must have to answer: the operation, and the features the body uses."""
    body, operation = request.body, request.route.operation
    needs = {operation}
    if body.get("tools") and _calls_functions(operation, body):
        needs.add("tools")
    if _wants_logprobs(body):
        needs.add("logprobs")
    if _wants_json(body):
        needs.add("json")
    for name in request.route.prompt:
        if type(body.get(name)) is list:
            needs |= abilities(body[name])
    return frozenset(needs)


def _calls_functions(operation: str, body: Mapping[str, Any]) -> bool:
    choice, tools = body.get("tool_choice"), body["tools"]
    if choice == "none" or (isinstance(choice, dict) and choice.get("type") == "none") or not isinstance(tools, list):
        return False
    callable_types = _FUNCTION_TOOLS.get(operation, ())
    return any(isinstance(tool, dict) and tool.get("type") in callable_types for tool in tools)


def _wants_logprobs(body: Mapping[str, Any]) -> bool:
    """`logprobs: 0` of completions asks for those of the chosen tokens."""
    asked = body.get("logprobs")
    if asked is not None and asked is not False:
        return True
    include = body.get("include")
    return isinstance(include, list) and "message.output_text.logprobs" in include


def _wants_json(body: Mapping[str, Any]) -> bool:
    text = body.get("text")
    forms = (body.get("response_format"), text.get("format") if isinstance(text, dict) else None)
    return any(isinstance(form, dict) and str(form.get("type", "")).startswith("json") for form in forms)


def scored_text(request: Request) -> str:
    """The text difficulty is judged by: the last user turn, or the prompt or input itself."""
    body = request.body
    if "messages" in request.route.prompt and body.get("messages"):
        return _last_user_turn(body["messages"])
    for name in request.route.prompt:
        value = body.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return _text_of_list(value)
    return ""


def _last_user_turn(messages: Sequence[Mapping[str, Any]]) -> str:
    turns = [message for message in messages if message.get("role") == "user"]
    return _text_of(turns[-1].get("content")) if turns else ""


def _text_of_list(items: Sequence[Any]) -> str:
    turns = [item for item in items if isinstance(item, dict) and item.get("role") == "user"]
    if turns:
        return _text_of(turns[-1].get("content"))
    return "\n".join(item for item in items if isinstance(item, str))


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def upstream_body(
    request: Request, fields: Mapping[str, Any] | None = None, *, model: str, cache_salt: str | None
) -> bytes:
    """The JSON sent upstream: the client's fields, less `DROPPED`, with the upstream's model name (see `WITHHELD`).

    `fields`: what the client's were made into for this upstream, where that is something else.

    `cache_salt` keeps tenants' prefix caches apart; None for upstreams that do not know it. Streams of chat and
    completions always ask for usage: cost is accounted from it, and it is taken out again unless the client asked.
    Raises `BadRequest` for a body nested so deeply that it could be read but cannot be written again.
    """
    body = {key: value for key, value in (fields or request.body).items() if key not in DROPPED}
    body["model"] = model
    if cache_salt is not None:
        body["cache_salt"] = cache_salt
    if request.stream and request.route.operation in ("chat", "completions"):
        options = {**(body.get("stream_options") or {}), "include_usage": True}
        if not request.wants_usage:
            options.pop("continuous_usage_stats", None)  # without include_usage it would have meant nothing
        body["stream_options"] = options
    try:
        return msgspec.json.encode(body)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply; flatten it") from error
