"""Every header that means something here: what a client may send, and what an answer says about itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Header:
    """One header. `says`: what it means."""

    name: str
    says: str


REQUEST_HEADERS = (
    Header("authorization", "`Bearer` and the key."),
    Header("x-api-key", "The key, where there is no `authorization`."),
    Header("content-encoding", "`gzip` for a compressed body."),
    Header("x-request-id", "Id of the request: at most 128 letters, digits and `._:-`. Anything else gets a new one."),
    Header("x-millrace-timeout-s", "Deadline of the whole request, seconds; never later than `request_timeout_s`."),
    Header("x-stainless-retry-count", "Which retry this is, as OpenAI's and Anthropic's clients say it; for the log."),
    Header("anthropic-version", "Passed to the model."),
    Header("anthropic-beta", "Passed to the model."),
    Header("traceparent", "Passed to the model."),
    Header("tracestate", "Passed to the model."),
)

ANSWER_HEADERS = (
    Header("x-request-id", "On every response, errors included: the client's own, or a new one."),
    Header("request-id", "The same, on Anthropic's routes."),
    Header("x-millrace-decision", "Id of this decision."),
    Header("x-millrace-policy", "The policy that planned it, or `direct`."),
    Header("x-millrace-model", "The model that answered."),
    Header("x-millrace-tier", "Its tier."),
    Header("x-millrace-attempts", "Attempts made, the one that answered included."),
    Header("x-millrace-stand-in", "`true` when a test double of a hosted API answered; absent otherwise."),
    Header("x-millrace-cost-usd", "Cost of all attempts, USD. Not on streams, whose cost is known only at their end."),
    Header("x-ratelimit-limit-requests", "Requests this key may make in a minute, or at once where no rate is set."),
    Header("x-ratelimit-remaining-requests", "How many of them are left."),
    Header("x-ratelimit-reset-requests", "When all of them are, as in `6s`."),
    Header("x-ratelimit-limit-tokens", "Tokens a minute; only where `tokens_per_minute` is set."),
    Header("x-ratelimit-remaining-tokens", "How many of them are left."),
    Header("x-ratelimit-reset-tokens", "When all of them are."),
    Header("retry-after", "Seconds to wait before another try, never over 120."),
    Header("x-should-retry", "`false` where the same request must fail again; absent otherwise."),
    Header("www-authenticate", "`Bearer`, on a 401."),
    Header("allow", "The methods a path takes, on a 405."),
)
