"""vLLM options that the catalogue may not set, and why: Millrace sets them itself, or they would open a hole."""

from collections.abc import Mapping
from typing import Final

_PRIVATE = "an engine is reached only through the gateway"
_WHOLE = "one replica is one whole engine"
_TLS = "TLS ends in front of the gateway"

RESERVED_OPTIONS: Final[Mapping[str, str]] = {
    "allow-credentials": _PRIVATE,
    "allowed-headers": _PRIVATE,
    "allowed-methods": _PRIVATE,
    "allowed-origins": _PRIVATE,
    "api-key": "Millrace guards every path of an engine with a token of its own",
    "api-server-count": _WHOLE,
    "config": "everything about a model stands in the catalogue",
    "data-parallel-external-lb": _WHOLE,
    "data-parallel-hybrid-lb": _WHOLE,
    "data-parallel-multi-port-external-lb": _WHOLE,
    "disable-log-stats": "the engine's state is read from these statistics",
    "grpc": _PRIVATE,
    "grpc-port": _PRIVATE,
    "headless": _WHOLE,
    "hf-token": "a secret never stands in the catalogue; set HF_TOKEN where the replica runs",
    "host": "Ray Serve chooses the address of a replica",
    "max-model-len": "set it by 'context_length' of the model",
    "middleware": "Millrace wraps the engine's app itself",
    "model": "set it by 'path' or 'huggingface' of the engine",
    "port": "Ray Serve chooses the port of a replica",
    "quantization": "set it by 'quantization' of the engine",
    "revision": "set it by 'revision' of the engine",
    "root-path": "Ray Serve chooses the path of an application",
    "served-model-name": "set it by 'name' of the model",
    "ssl-ca-certs": _TLS,
    "ssl-cert-reqs": _TLS,
    "ssl-certfile": _TLS,
    "ssl-ciphers": _TLS,
    "ssl-keyfile": _TLS,
    "enable-ssl-refresh": _TLS,
    "tensor-parallel-size": "set it by 'resources.tensor_parallel_size' of the engine",
    "trust-request-chat-template": "clients may not bring templates that run inside the engine",
    "trust-request-mm-kwargs": "clients may not reconfigure the engine's image processing",
    "uds": "Ray Serve chooses the address of a replica",
}
"""Option → reason."""
