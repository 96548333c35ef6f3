"""The fields of a body that do not reach an upstream as the client sent them, each with what becomes of it and why.

Only the top level counts: that is where engines, hosted APIs and the gateways in front of them look. Below, names mean
something else (a tool's parameter may well be called `headers`), so nested values pass untouched; the nested forms that
could do harm are refused where they are read: tensors as message parts (`serving.wire.content`), URLs by the media
desk. A tool's `server_url` is fetched by the hosted API it is sent to, never by an engine or by us.
"""

from dataclasses import dataclass
from typing import Literal

Fate = Literal["dropped", "overwritten"]

_ENGINE = "reaches into the engine: its templates, cache, schedule or processors"
_PROVIDER = "would choose where the request goes, or with which credentials"
_INJECTION = "would add headers, parameters, plugins or callbacks to the call"
_CHOICE = "would choose the model or its fallback past `routing` and its price"


@dataclass(frozen=True, slots=True)
class Withheld:
    """One field. `reason` completes the sentence "it …"."""

    name: str
    fate: Fate
    reason: str


def _dropped(reason: str, *names: str) -> tuple[Withheld, ...]:
    return tuple(Withheld(name, "dropped", reason) for name in names)


WITHHELD: tuple[Withheld, ...] = (
    Withheld("model", "overwritten", "becomes the name the chosen upstream knows its model by"),
    Withheld("cache_salt", "overwritten", "becomes the tenant's own salt, so that no tenant sees another's cache"),
    Withheld("stream_options", "overwritten", "gets `include_usage: true` on streams of chat and completions"),
    *_dropped("is read by the gateway and goes no further", "routing"),
    *_dropped("is set by the gateway, as a header", "request_id"),
    *_dropped(
        _ENGINE,
        "bad_words_token_ids", "chat_template", "chat_template_kwargs", "data_parallel_rank", "ec_transfer_params",
        "enable_response_messages", "guided_decoding_backend", "kv_transfer_params", "lora_request", "media_io_kwargs",
        "mm_payload", "mm_processor_kwargs", "multi_modal_data", "previous_input_messages", "priority",
        "prompt_embeds", "return_mm_kwargs", "routed_experts_prompt_start", "template", "vllm_xargs",
    ),
    *_dropped("would let an engine fall silent for longer than a stream may, and past the count of its tokens",
              "stream_interval"),
    *_dropped(
        _PROVIDER,
        "api_base", "api_host", "api_key", "api_type", "api_url", "api_version", "aws_access_key_id",
        "aws_bedrock_runtime_endpoint", "aws_region_name", "aws_secret_access_key", "aws_session_token",
        "azure_ad_token", "azure_endpoint", "base_url", "custom_host", "custom_llm_provider", "deployment_id",
        "endpoint", "endpoint_url", "host", "organization", "provider", "proxy", "region_name", "target_url",
        "user_config", "vertex_credentials", "vertex_location", "vertex_project", "virtual_key",
    ),
    *_dropped(
        _INJECTION,
        "callback", "callback_url", "callbacks", "default_headers", "default_query", "extra_body", "extra_headers",
        "extra_query", "failure_callback", "guardrails", "headers", "litellm_metadata", "litellm_params", "logger_fn",
        "mock_response", "plugin", "plugins", "proxy_server_request", "success_callback", "transforms", "webhook",
        "webhook_url",
    ),
    *_dropped(_CHOICE, "context_window_fallbacks", "fallbacks", "model_list", "models", "route"),
)  # fmt: skip
"""Every field that is withheld."""

DROPPED = frozenset(one.name for one in WITHHELD if one.fate == "dropped") | {"cache_salt"}
"""Names that are taken out of a body before ours are put in."""
