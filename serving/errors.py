"""Every error a client can be shown, as one tree; rendered in one place (`render`).

    MillraceError
    ├── BadRequest                400 invalid_request_error
    │   ├── Unauthenticated       401 invalid_api_key
    │   ├── RouteNotFound         404 route_not_found
    │   ├── ModelNotFound         404 model_not_found
    │   ├── NotRoutable           404 no_route
    │   ├── MethodNotAllowed      405 method_not_allowed
    │   ├── RequestTimeout        408 request_timeout
    │   └── BodyTooLarge          413 body_too_large
    ├── Overloaded                503 overloaded             (Retry-After)
    ├── UpstreamFailed            502 upstream_failed
    │   ├── UpstreamRefused       503 upstream_refused           no connection, or 5xx/429 before the first byte
    │   ├── UpstreamTimeout       504 upstream_timeout
    │   ├── UpstreamDisconnected  502 upstream_disconnected      the answer was cut short
    │   └── UpstreamInvalid       502 upstream_invalid_response  200, but not an answer
    └── ConfigError               exit code 2; never sent to a client

Status, `code`, `type` and `retry_after_s` live on the class. Foreign errors are translated once, at their seam, with
`raise … from`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec


class MillraceError(Exception):
    """Anything Millrace refuses or fails at, with what the client is told."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retry_after_s: int | None = None

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


class BadRequest(MillraceError):
    """The request itself is wrong; the same request will fail again."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class Unauthenticated(BadRequest):
    """Missing, malformed, unknown or revoked key: one body for all of them."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class RouteNotFound(BadRequest):
    """A path outside the allow-list."""

    status = 404
    code = "route_not_found"


class ModelNotFound(BadRequest):
    """A model that is not in the catalogue, or not visible to this key."""

    status = 404
    code = "model_not_found"


class NotRoutable(BadRequest):
    """The model exists, or models do, but the request itself rules every one of them out."""

    status = 404
    code = "no_route"


class MethodNotAllowed(BadRequest):
    """A known path with another method."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(BadRequest):
    """The client did not send its body in time."""

    status = 408
    code = "request_timeout"


class BodyTooLarge(BadRequest):
    """The body is over the limit."""

    status = 413
    code = "body_too_large"


class Overloaded(MillraceError):
    """Admission refused: too much is in flight."""

    status = 503
    type = "overloaded_error"
    code = "overloaded"
    retry_after_s = 1


class UpstreamFailed(MillraceError):
    """An upstream did not produce an answer. `upstream_status`: the HTTP status it gave, 0 when there was none."""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"
    upstream_status: int = 0


class UpstreamRefused(UpstreamFailed):
    """Could not connect, or was refused with 429/5xx before the first byte; `retry_after_s` as it asked."""

    status = 503
    code = "upstream_refused"
    retry_after_s = 5


class UpstreamTimeout(UpstreamFailed):
    """No head, no first token, or no next token in time."""

    status = 504
    code = "upstream_timeout"


class UpstreamDisconnected(UpstreamFailed):
    """The connection was cut before the answer was complete."""

    code = "upstream_disconnected"


class UpstreamInvalid(UpstreamFailed):
    """It answered 200 with something that is no answer."""

    code = "upstream_invalid_response"


class ConfigError(MillraceError):
    """Configuration that cannot work; `problems` holds every one of them."""

    code = "config_error"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def render(error: MillraceError, *, anthropic: bool = False) -> bytes:
    """The JSON body of an error: OpenAI's shape with all four keys, or Anthropic's on `/v1/messages`."""
    if anthropic:
        return msgspec.json.encode({"type": "error", "error": {"type": error.type, "message": error.message}})
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": body})


MAX_RETRY_AFTER_S = 120
"""A longer `Retry-After` makes the SDKs give up at once so ours stay below."""


def retry_headers(error: MillraceError) -> Mapping[str, str]:
    """Headers that steer the client's retries."""
    if error.retry_after_s is None:
        return {}
    return {"retry-after": str(min(error.retry_after_s, MAX_RETRY_AFTER_S))}
