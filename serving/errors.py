"""Every error a client can be shown, as one tree; rendered in one place (`render`).

    MillraceError
    ├── BadRequest                400 invalid_request_error
    │   ├── Unauthenticated       401 invalid_api_key
    │   ├── RouteNotFound         404 route_not_found
    │   ├── ModelNotFound         404 model_not_found
    │   ├── NotRoutable           404 no_route
    │   ├── MethodNotAllowed      405 method_not_allowed
    │   ├── ResponseNotFound      404 response_not_found
    │   ├── MediaRefused          400 media_url_refused
    │   ├── MediaUnavailable      400 media_fetch_failed         (a retry may help)
    │   ├── RequestTimeout        408 request_timeout            (a retry may help)
    │   ├── BodyTooLarge          413 body_too_large
    │   ├── UnsupportedEncoding   415 unsupported_content_encoding
    │   └── HeadersTooLarge       431 headers_too_large
    ├── RateLimited               429 rate_limit_exceeded    (Retry-After)
    ├── Overloaded                503 overloaded             (Retry-After)
    ├── StoreUnavailable          503 store_unavailable      (Retry-After)
    ├── ShuttingDown              503 shutting_down          (Retry-After)
    ├── UpstreamFailed            502 upstream_failed
    │   ├── UpstreamRefused       503 upstream_refused           no connection, or 5xx/429 before the first byte
    │   ├── UpstreamTimeout       504 upstream_timeout
    │   ├── RetryBudgetExhausted  503 retry_budget_exhausted     another try would have been one too many
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
    retry_helps: ClassVar[bool] = True
    """False where the same request must fail again: the client is told so (`x-should-retry: false`)."""
    anthropic_type: ClassVar[str] = "api_error"
    """The name Anthropic's clients know this kind of error by."""

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
    retry_helps = False
    anthropic_type = "invalid_request_error"


class Unauthenticated(BadRequest):
    """Missing, malformed, unknown or revoked key: one body for all of them."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    anthropic_type = "authentication_error"


class RouteNotFound(BadRequest):
    """A path outside the allow-list."""

    status = 404
    code = "route_not_found"
    anthropic_type = "not_found_error"


class ModelNotFound(BadRequest):
    """A model that is not in the catalogue, or not visible to this key."""

    status = 404
    code = "model_not_found"
    anthropic_type = "not_found_error"


class NotRoutable(BadRequest):
    """The model exists, or models do, but the request itself rules every one of them out."""

    status = 404
    code = "no_route"
    anthropic_type = "not_found_error"


class MethodNotAllowed(BadRequest):
    """A known path with another method."""

    status = 405
    code = "method_not_allowed"


class ResponseNotFound(BadRequest):
    """No stored response of that id, or none of this tenant's."""

    status = 404
    code = "response_not_found"
    anthropic_type = "not_found_error"


class MediaRefused(BadRequest):
    """An image or file URL that is not fetched: not `data:`, and not on a host the operator listed."""

    code = "media_url_refused"


class MediaUnavailable(BadRequest):
    """The host of an image or file URL failed. Not a 5xx: no model did, and another replica would not do better."""

    code = "media_fetch_failed"
    retry_helps = True


class RequestTimeout(BadRequest):
    """The client did not send its body in time."""

    status = 408
    code = "request_timeout"
    retry_helps = True


class BodyTooLarge(BadRequest):
    """The body is over the limit."""

    status = 413
    code = "body_too_large"
    anthropic_type = "request_too_large"


class UnsupportedEncoding(BadRequest):
    """A `content-encoding` other than gzip."""

    status = 415
    code = "unsupported_content_encoding"


class HeadersTooLarge(BadRequest):
    """Too many header bytes, or too many headers."""

    status = 431
    code = "headers_too_large"
    anthropic_type = "request_too_large"


class RateLimited(MillraceError):
    """More requests or tokens a minute than this key may have; `retry_after_s` says when there is room again."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry_after_s = 1
    anthropic_type = "rate_limit_error"


class Overloaded(MillraceError):
    """Admission refused: too much is in flight."""

    status = 503
    type = "overloaded_error"
    code = "overloaded"
    retry_after_s = 1
    anthropic_type = "overloaded_error"


class StoreUnavailable(MillraceError):
    """The gateway's store cannot be read or written."""

    status = 503
    code = "store_unavailable"
    retry_after_s = 5


class ShuttingDown(MillraceError):
    """This gateway stops and its time for running answers is over; another one takes the next request."""

    status = 503
    code = "shutting_down"
    retry_after_s = 1
    anthropic_type = "overloaded_error"


class UpstreamFailed(MillraceError):
    """An upstream did not produce an answer. `upstream_status`: the HTTP status it gave, 0 when there was none."""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"
    upstream_status: int = 0
    replica: str = "-"
    """Which one failed, where that is known."""
    sent: bool = True
    """False when the request reached nobody, so that it put no load on anyone."""
    tried: bool = True
    """False when it says nothing about the upstream itself: no connection was tried, or it refused this one request."""
    lost: bool = False
    """True when its replica was lost with it: nobody works on the request any more, so another try doubles no load."""
    pause_s: float | None = None
    """How long the upstream asked to be left alone, seconds."""
    said: bytes = b""
    """The error it gave within a stream, as JSON."""


class UpstreamRefused(UpstreamFailed):
    """Could not connect, or was refused with 429/5xx before the first byte; `retry_after_s` as it asked."""

    status = 503
    code = "upstream_refused"
    retry_after_s = 5


class UpstreamTimeout(UpstreamFailed):
    """No head, no first token, or no next token in time."""

    status = 504
    code = "upstream_timeout"


class RetryBudgetExhausted(UpstreamFailed):
    """It failed, and the share of requests that may be tried again is used up."""

    status = 503
    code = "retry_budget_exhausted"
    retry_after_s = 5
    anthropic_type = "overloaded_error"


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
        return msgspec.json.encode({"type": "error", "error": {"type": error.anthropic_type, "message": error.message}})
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": body})


MAX_RETRY_AFTER_S = 120
"""A longer `Retry-After` makes the SDKs give up at once so ours stay below."""


def retry_headers(error: MillraceError) -> Mapping[str, str]:
    """Headers that steer the client's retries."""
    headers = {} if error.retry_helps else {"x-should-retry": "false"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, min(error.retry_after_s, MAX_RETRY_AFTER_S)))
    return headers
