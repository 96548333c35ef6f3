"""How much one request may hold: a frozen table of bounds, each named as the setting it comes from.

Knows no request. The defaults stand here and nowhere else: `Settings` takes them over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Every bound on what a client may send. `*_chars` count characters, `*_bytes` bytes, the others things."""

    max_header_bytes: int = 16 * 1024
    """Names and values of all headers together."""
    max_headers: int = 100
    max_body_bytes: int = 4 * 1024 * 1024
    """After decompression, where there is one."""
    max_body_bytes_by_route: Mapping[str, int] = field(default_factory=dict)
    max_gzip_ratio: int = 100
    body_timeout_s: float = 30.0
    min_body_bytes_per_s: int = 1024
    max_json_depth: int = 64
    max_n: int = 16
    max_logprobs: int = 20
    max_stop: int = 4
    max_stop_chars: int = 256
    max_tools: int = 128
    max_schema_bytes: int = 64 * 1024
    max_schema_depth: int = 32
    max_pattern_chars: int = 4096
    max_grammar_chars: int = 16 * 1024
    max_logit_bias: int = 1024
    max_messages: int = 4096
    max_prompts: int = 128
    max_inputs: int = 2048

    def body_bytes(self, path: str) -> int:
        """The largest body `path` takes."""
        return self.max_body_bytes_by_route.get(path, self.max_body_bytes)

    @classmethod
    def of(cls, settings: object) -> "InputLimits":
        """The limits among `settings`: its attributes of the same names."""
        return cls(**{one.name: getattr(settings, one.name) for one in fields(cls)})


DEFAULTS = InputLimits()
"""What holds where no setting says otherwise."""
