"""What the gateway says about each request: its metrics and one canonical JSON log line.

Knows how to report a `Record`, not how it came about. No prompt or answer text, no key ever gets here. Metric names
and labels are listed in docs/telemetry.md (checked by a test).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from routing.cascade import Reason
from serving.errors import RetryBudgetExhausted
from serving.record import Record
from serving.tally import Counter, Gauge, Gauges, Histogram, Tally

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
GAP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Telemetry(Protocol):
    """Hears of every request once, when it is over, and of every replica choice."""

    def settled(self, record: Record, *, now: float) -> None:
        """Count and log a finished request. `now`: monotonic seconds, the clock of `record`."""
        ...

    def chosen(self, model: str, replica: str) -> None:
        """Count a replica choice."""
        ...

    def score_failed(self) -> None:
        """Count a prompt that could not be scored; the stated default was used."""
        ...


class GatewayTelemetry:
    """Prometheus metrics and the log line. `in_flight` and `breakers` (state by model) are read at scrape time."""

    def __init__(
        self,
        log: Callable[[dict[str, Any]], None],
        in_flight: Callable[[], int],
        breakers: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._log = log
        self._requests = Counter("millrace_requests", "Requests finished.", ("operation", "model", "tier", "status"))
        self._duration = Histogram(
            "millrace_request_duration_seconds", "Receive to last byte.", ("operation", "model", "tier"), SECONDS
        )
        self._ttft = Histogram(
            "millrace_ttft_seconds", "Receive to the first chunk of a stream.", ("model", "tier"), SECONDS
        )
        self._gaps = Histogram(
            "millrace_inter_token_seconds", "Gaps between chunks of a stream.", ("model", "tier"), GAP_SECONDS
        )
        self._tokens = Counter("millrace_tokens", "Tokens by kind: input, cached, output.", ("model", "tier", "kind"))
        self._cost = Counter("millrace_cost_usd", "Cost of all attempts, USD.", ("model", "tier"))
        self._attempts = Counter("millrace_attempts", "Attempts made.", ("model", "tier", "reason", "outcome"))
        self._escalations = Counter("millrace_escalations", "Answers judged not good enough.", ("from", "to"))
        self._fallbacks = Counter("millrace_fallbacks", "Tiers that could not answer.", ("from", "to"))
        self._choices = Counter("millrace_replica_choices", "Replica choices.", ("model", "replica"))
        self._score_failures = Counter("millrace_score_failures", "Prompts that could not be scored.", ())
        self._retries = Counter("millrace_retries", "Second tries at the same model.", ("model", "cause"))
        self._exhausted = Counter(
            "millrace_retry_budget_exhausted", "Requests not tried again because too many were.", ()
        )
        self._service = Counter("millrace_replica_service", "Replicas ejected and readmitted.", ("model", "event"))
        self._probes = Counter(
            "millrace_probes", "Replicas asked for a token to prove themselves.", ("model", "outcome")
        )
        self._registry = CollectorRegistry()
        self._registry.register(
            Tally(
                [
                    *(value for value in vars(self).values() if isinstance(value, Counter | Histogram)),
                    Gauge("millrace_in_flight", "Requests being answered.", in_flight),
                    Gauges("millrace_breaker_state", "0 closed, 1 half-open, 2 open.", "model", breakers),
                ]
            )
        )

    def exposition(self) -> bytes:
        """The metrics page, in Prometheus' text format."""
        return generate_latest(self._registry)

    def chosen(self, model: str, replica: str) -> None:
        """See `Telemetry.chosen`."""
        self._choices.add((model, replica))

    def score_failed(self) -> None:
        """See `Telemetry.score_failed`."""
        self._score_failures.add(())

    def service_changed(self, model: str, event: str) -> None:
        """Count a replica that was ejected or readmitted."""
        self._service.add((model, event))

    def probed(self, model: str, outcome: str) -> None:
        """Count a probe."""
        self._probes.add((model, outcome))

    def settled(self, record: Record, *, now: float) -> None:
        """See `Telemetry.settled`."""
        place = (record.model, record.tier)
        self._requests.add((record.operation, *place, str(record.status)))
        self._duration.observe((record.operation, *place), now - record.received_s)
        if record.first_byte_s is not None:
            self._ttft.observe(place, record.first_byte_s - record.received_s)
        if len(record.chunk_times_s) > 1:
            self._gaps.observe_all(place, [later - earlier for earlier, later in pairwise(record.chunk_times_s)])
        self._count_usage(record)
        self._count_attempts(record)
        self._log(log_fields(record, now=now))

    def _count_usage(self, record: Record) -> None:
        usage, place = record.usage, (record.model, record.tier)
        for kind, count in (("input", usage.input), ("cached", usage.cached), ("output", usage.output)):
            if count:
                self._tokens.add((*place, kind), count)
        if record.cost_usd:
            self._cost.add(place, record.cost_usd)

    def _count_attempts(self, record: Record) -> None:
        for tried in record.tried:
            attempt = tried.attempt
            self._attempts.add((attempt.model, attempt.tier, attempt.reason, tried.outcome))
        if record.error == RetryBudgetExhausted.code:
            self._exhausted.add(())
        for before, after in pairwise(record.tried):
            if after.attempt.reason is Reason.RETRY:
                self._retries.add((after.attempt.model, before.outcome))
                continue
            step = (before.attempt.tier, after.attempt.tier)
            counter = self._escalations if after.attempt.reason is Reason.ESCALATION else self._fallbacks
            counter.add(step)


def log_fields(record: Record, *, now: float) -> dict[str, Any]:
    """The canonical log line's fields, in their order."""
    ttft_s = None if record.first_byte_s is None else round(record.first_byte_s - record.received_s, 6)
    return {
        "request_id": record.request_id,
        "tenant": record.tenant,
        "operation": record.operation,
        "asked_model": record.asked_model,
        "model": record.model,
        "tier": record.tier,
        "replica": record.replica,
        "stand_in": record.stand_in,
        "decision": record.decision,
        "policy": record.policy,
        "scores": record.scores,
        "attempts": [
            {"model": t.attempt.model, "replica": t.replica, "reason": t.attempt.reason, "outcome": t.outcome}
            for t in record.tried
        ],
        "stream": record.stream,
        "client_retry": record.client_retry,
        "status": record.status,
        "error": record.error,
        "ttft_s": ttft_s,
        "duration_s": round(now - record.received_s, 6),
        "input_tokens": record.usage.input,
        "cached_tokens": record.usage.cached,
        "output_tokens": record.usage.output,
        "usage_estimated": record.usage.estimated,
        "cost_usd": record.cost_usd,
    }


def json_log(level: str) -> Callable[[dict[str, Any]], None]:
    """A writer of JSON lines on stdout, each with a UTC timestamp; `level` above "info" silences it.

    Other parts of the process log in the same format, from `level` on.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=lambda fields, **_: msgspec.json.encode(fields)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    if level not in ("debug", "info"):
        return lambda fields: None
    lines = structlog.BytesLogger()

    def write(fields: dict[str, Any]) -> None:
        """The processors' result without the processors, which cost more than the rest of settling."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        lines.msg(msgspec.json.encode({**fields, "event": "request", "level": "info", "timestamp": now}))

    return write
