"""What is said about a request: its metrics, and one log line that holds no text of anybody's."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from routing.cascade import Attempt, Reason
from serving.record import Record, Tried, Usage
from serving.telemetry import GatewayTelemetry, json_log, log_fields
from tests.doubles.upstream import chat_answer, chat_stream
from tests.serving.asgi_call import ask, running
from tests.serving.world import KEY, World


def a_record(**more: Any) -> Record:
    tried = [
        Tried(Attempt("small", "small", Reason.SCORE), "-", "500", 0.0),
        Tried(Attempt("large", "large", Reason.FALLBACK), "large-0", "ok", 1.0),
    ]
    fields: dict[str, Any] = {
        "operation": "chat",
        "tenant": "acme",
        "asked_model": "auto",
        "stream": True,
        "policy": "ladder",
        "model": "large",
        "tier": "large",
        "replica": "large-0",
        "scores": {"small": 0.9},
        "tried": tried,
        "first_byte_s": 10.25,
        "chunk_times_s": [10.25, 10.5, 11.0],
        "usage": Usage(9, 4, 2),
        "cost_usd": 0.5,
        "status": 200,
    }
    return Record(request_id="req-1", decision="mrd-1", received_s=10.0, **(fields | more))


def counted(*records: Record) -> dict[str, float]:
    telemetry = GatewayTelemetry(lambda fields: None, lambda: 7)
    for record in records:
        telemetry.settled(record, now=12.0)
    telemetry.chosen("large", "large-0")
    return samples(telemetry)


def samples(telemetry: GatewayTelemetry) -> dict[str, float]:
    """Value by name and label values, the labels in the order of their names."""
    families = text_string_to_metric_families(telemetry.exposition().decode())
    return {
        " ".join([one.name, *(one.labels[name] for name in sorted(one.labels))]): one.value
        for family in families
        for one in family.samples
    }


def test_every_counter_moves() -> None:
    found = counted(a_record())
    assert found["millrace_requests_total large chat 200 large"] == 1
    assert found["millrace_request_duration_seconds_sum large chat large"] == 2.0
    assert found["millrace_ttft_seconds_sum large large"] == 0.25
    assert found["millrace_inter_token_seconds_count large large"] == 2
    assert found["millrace_inter_token_seconds_sum large large"] == 0.75
    assert found["millrace_tokens_total input large large"] == 9
    assert found["millrace_tokens_total cached large large"] == 4
    assert found["millrace_tokens_total output large large"] == 2
    assert found["millrace_cost_usd_total large large"] == 0.5
    assert found["millrace_attempts_total small 500 score small"] == 1
    assert found["millrace_attempts_total large ok fallback large"] == 1
    assert found["millrace_fallbacks_total small large"] == 1
    assert found["millrace_replica_choices_total large large-0"] == 1
    assert found["millrace_in_flight"] == 7
    assert not any(name.startswith("millrace_escalations") for name in found)


def test_a_retry_is_no_fallback_and_names_what_made_it_necessary() -> None:
    first, second = a_record().tried
    again = Tried(Attempt("small", "small", Reason.RETRY), "small-1", "503", 0.0)
    found = counted(a_record(tried=[first, again, second]))
    assert found["millrace_retries_total 500 small"] == 1
    assert found["millrace_fallbacks_total small large"] == 1


def test_a_budget_that_is_used_up_is_counted() -> None:
    found = counted(a_record(error="retry_budget_exhausted"), a_record(error="upstream_refused"))
    assert found["millrace_retry_budget_exhausted_total"] == 1


def test_what_becomes_of_replicas_is_counted() -> None:
    telemetry = GatewayTelemetry(lambda fields: None, lambda: 0, lambda: {"small": 2})
    telemetry.service_changed("small", "ejected")
    telemetry.probed("small", "hung")
    found = samples(telemetry)
    assert found["millrace_replica_service_total ejected small"] == 1
    assert found["millrace_probes_total small hung"] == 1
    assert found["millrace_breaker_state small"] == 2


def test_an_escalation_is_no_fallback() -> None:
    first, second = a_record().tried
    risen = Tried(Attempt("large", "large", Reason.ESCALATION), "large-0", "ok", 1.0)
    found = counted(a_record(tried=[first, risen]), a_record(tried=[first, second]))
    assert found["millrace_escalations_total small large"] == 1
    assert found["millrace_fallbacks_total small large"] == 1


def test_a_request_that_got_nowhere_counts_only_as_a_request() -> None:
    found = counted(Record(request_id="r", decision="d", received_s=10.0, status=401))
    assert found["millrace_requests_total - - 401 -"] == 1
    assert not any(name.startswith(("millrace_ttft", "millrace_tokens", "millrace_cost")) for name in found)


def test_the_log_line_can_be_written_and_says_what_happened() -> None:
    line = log_fields(a_record(), now=12.0)
    assert json.loads(json.dumps(line)) == {
        "request_id": "req-1",
        "tenant": "acme",
        "operation": "chat",
        "asked_model": "auto",
        "model": "large",
        "tier": "large",
        "replica": "large-0",
        "stand_in": False,
        "decision": "mrd-1",
        "policy": "ladder",
        "scores": {"small": 0.9},
        "attempts": [
            {"model": "small", "replica": "-", "reason": "score", "outcome": "500"},
            {"model": "large", "replica": "large-0", "reason": "fallback", "outcome": "ok"},
        ],
        "stream": True,
        "client_retry": None,
        "status": 200,
        "error": None,
        "ttft_s": 0.25,
        "duration_s": 2.0,
        "input_tokens": 9,
        "cached_tokens": 4,
        "output_tokens": 2,
        "usage_estimated": False,
        "cost_usd": 0.5,
    }


@pytest.fixture
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_structlog_as_it_was")
def test_a_line_is_one_json_object_on_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    json_log("info")({"asked_model": "a\nb\x1b[31m"})
    out = capfdbinary.readouterr().out
    assert out.count(b"\n") == 1
    assert b"\x1b" not in out
    line = json.loads(out)
    assert line["asked_model"] == "a\nb\x1b[31m"
    assert line["timestamp"].endswith("Z")
    assert line["event"] == "request"


@pytest.mark.usefixtures("_structlog_as_it_was")
def test_a_level_above_info_silences_the_lines(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    json_log("warning")({"asked_model": "auto"})
    assert capfdbinary.readouterr().out == b""


SECRETS = ("prompt-canary", "answer-canary", "system-canary", "tool-canary", "user-canary", KEY)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_no_text_of_anybodys_reaches_the_log_or_the_metrics(stream: bool) -> None:
    world = World()
    world.upstreams["small"].next(chat_stream("answer-canary") if stream else chat_answer("answer-canary"))
    body = {
        "model": "auto",
        "messages": [{"role": "system", "content": "system-canary"}, {"role": "user", "content": "prompt-canary"}],
        "stop": ["tool-canary"],
        "user": "user-canary",
        "stream": stream,
    }
    async with running(world) as app:
        answered = await ask(app, "/v1/chat/completions", body)
    assert b"answer-canary" in answered.content
    said = json.dumps(world.lines) + world.telemetry.exposition().decode()
    assert [secret for secret in SECRETS if secret in said] == []
    assert len(world.lines) == 1
