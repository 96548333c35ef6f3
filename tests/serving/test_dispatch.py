"""Attempts: what counts as an answer, what moves on to the next model, and that nothing stays open."""

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.spec import Timeouts
from routing.cascade import Attempt, Reason, cascade
from serving.dispatch import Dispatcher, Target, settled
from serving.errors import (
    BadRequest,
    UpstreamDisconnected,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
)
from serving.record import Tried
from serving.wire.frames import MAX_FRAME_BYTES
from serving.wire.routes import RELAYED
from tests.doubles.upstream import FakeAnswer, FakeUpstream, chat_answer, chat_stream, refusing
from tests.serving.asgi_call import until
from tests.serving.dispatch_run import RejectFirst, ask, dispatcher, plan, request, run, settled_all
from tests.serving.pipeline_run import DELTA, SSE
from tests.serving.world import Ticks, engine_spec, hosted_spec

ERROR = b'data: {"error":{"message":"no","type":"t","param":null,"code":"c"}}\n\n'


async def test_a_whole_answer() -> None:
    upstream = FakeUpstream(chat_answer("four"), replica="r1")
    answer, tried = await run(upstream)
    assert (answer.attempt.model, answer.response.replica, tried) == ("m0", "r1", [])
    assert answer.data["choices"][0]["message"]["content"] == "four"
    assert json.loads(answer.content) == answer.data
    assert (upstream.in_flight, upstream.finished) == (0, 1)


async def test_what_is_sent() -> None:
    ours, theirs = FakeUpstream(chat_answer("4")), FakeUpstream(chat_answer("4"))
    targets = {"m0": Target(engine_spec("m0"), ours), "cloud": Target(hosted_spec(), theirs)}
    running = Dispatcher(targets, Ticks())
    for model in targets:
        attempt = Attempt(model, model, Reason.DIRECT)
        await running.run(cascade([attempt]), request(cache_salt="theirs"), salt="ours", decision="mrd-1", tried=[])
    to_us, to_them = ours.requests[0], theirs.requests[0]
    assert (to_us.path, to_us.request_id, to_us.headers) == ("/v1/chat/completions", "mrd-1-1", {"traceparent": "00"})
    assert json.loads(to_us.body)["model"] == "m0"
    assert json.loads(to_us.body)["cache_salt"] == "ours"
    assert json.loads(to_them.body)["model"] == "cloud-1"
    assert "cache_salt" not in json.loads(to_them.body)


@pytest.mark.parametrize("path", RELAYED)
async def test_everything_that_fills_a_prefix_cache_is_salted(path: str) -> None:
    upstream = FakeUpstream(FakeAnswer([b'{"count":1}']))
    await dispatcher(upstream).run(
        cascade(plan(1)), request(path=path, query="q"), salt="s", decision="mrd-1", tried=[]
    )
    salt = json.loads(upstream.requests[0].body).get("cache_salt")
    assert salt == (None if path == "/tokenize" else "s")


async def test_a_stream_is_handed_over_at_its_first_event() -> None:
    upstream = FakeUpstream(chat_stream("one two three"))
    answer, _ = await run(upstream, stream=True)
    assert answer.content.startswith(b"data: {")
    assert upstream.in_flight == 1
    rest = b"".join([chunk async for chunk in answer.rest])
    assert rest.endswith(b"data: [DONE]\n\n")
    await answer.response.close()
    assert (upstream.in_flight, upstream.finished) == (0, 1)


@given(st.lists(st.integers(1, 200), max_size=8))
def test_the_opening_is_the_same_however_the_bytes_are_cut(cuts: Sequence[int]) -> None:
    whole = b": ping\n\nevent: x\n" + DELTA + DELTA
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    chunks = [whole[start:end] for start, end in pairwise(places)]

    async def relayed() -> bytes:
        answer, _ = await run(FakeUpstream(FakeAnswer(chunks, headers=SSE)), stream=True)
        assert DELTA.rstrip() in answer.content
        return answer.content + b"".join([chunk async for chunk in answer.rest])

    assert asyncio.run(relayed()) == whole


FAILURES = {
    "refused": (refusing(UpstreamRefused("no")), "upstream_refused"),
    "timed out": (refusing(UpstreamTimeout("no")), "upstream_timeout"),
    "401": (FakeAnswer([b"{}"], status=401), "401"),
    "402": (FakeAnswer([b"{}"], status=402), "402"),
    "404": (FakeAnswer([b"{}"], status=404), "404"),
    "429": (FakeAnswer([b"{}"], status=429), "429"),
    "500": (FakeAnswer([b"{}"], status=500), "500"),
    "503": (FakeAnswer([b"{}"], status=503), "503"),
    "redirect": (FakeAnswer([b""], status=302), "upstream_invalid_response"),
}


UNARY_FAILURES = FAILURES | {
    "cut": (FakeAnswer([b'{"id":'], cut=True), "upstream_disconnected"),
    "html": (FakeAnswer([b"<html>"]), "upstream_invalid_response"),
    "half JSON": (FakeAnswer([b'{"id":']), "upstream_invalid_response"),
    "not UTF-8": (FakeAnswer([b'{"id":"\xff"}']), "upstream_invalid_response"),
    "too deep": (FakeAnswer([b"[" * 5000]), "upstream_invalid_response"),
    "a list": (FakeAnswer([b"[]"]), "upstream_invalid_response"),
    "empty": (FakeAnswer([]), "upstream_invalid_response"),
    "an error with 200": (FakeAnswer([b'{"error":{"message":"no"}}']), "upstream_invalid_response"),
}


STREAM_FAILURES = FAILURES | {
    "no stream": (chat_answer("4"), "upstream_invalid_response"),
    "nothing": (FakeAnswer([], headers=SSE), "upstream_disconnected"),
    "cut at once": (FakeAnswer([], headers=SSE, cut=True), "upstream_disconnected"),
    "half an event": (FakeAnswer([DELTA[:20]], headers=SSE), "upstream_disconnected"),
    "comments only": (FakeAnswer([b": ping\n\n"], headers=SSE), "upstream_disconnected"),
    "error first": (FakeAnswer([ERROR, DELTA], headers=SSE), "upstream_invalid_response"),
    "error first, in pieces": (FakeAnswer([ERROR[:20], ERROR[20:]], headers=SSE), "upstream_invalid_response"),
    "error after a comment": (FakeAnswer([b": hi\n\n", ERROR], headers=SSE), "upstream_invalid_response"),
    "garbage": (FakeAnswer([b"data: <html>\n\n"], headers=SSE), "upstream_invalid_response"),
    "too deep": (FakeAnswer([b"data: " + b"[" * 5000 + b"\n\n"], headers=SSE), "upstream_invalid_response"),
    "no answer": (FakeAnswer([b"data: [DONE]\n\n"], headers=SSE), "upstream_invalid_response"),
    "endless comment": (FakeAnswer([b":" * MAX_FRAME_BYTES, b"::"], headers=SSE), "upstream_invalid_response"),
}


CASES = [
    *(pytest.param(False, answer, outcome, id=f"unary {name}") for name, (answer, outcome) in UNARY_FAILURES.items()),
    *(pytest.param(True, answer, outcome, id=f"stream {name}") for name, (answer, outcome) in STREAM_FAILURES.items()),
]


@pytest.mark.parametrize(("stream", "failing", "outcome"), CASES)
async def test_the_next_model_is_asked_before_the_client_sees_anything(
    stream: bool, failing: FakeAnswer, outcome: str
) -> None:
    first, second = FakeUpstream(failing), FakeUpstream(chat_stream("4") if stream else chat_answer("4"))
    answer, tried = await run(first, second, stream=stream)
    assert answer.attempt == Attempt("m1", "m1", Reason.FALLBACK)
    assert [(one.attempt.model, one.outcome) for one in tried] == [("m0", outcome)]
    await answer.response.close()
    assert settled_all(first, second)


@pytest.mark.parametrize(("stream", "failing", "outcome"), CASES)
async def test_when_all_fail_the_last_failure_is_raised(stream: bool, failing: FakeAnswer, outcome: str) -> None:
    first, last = FakeUpstream(refusing(UpstreamTimeout("first"))), FakeUpstream(failing)
    tried: list[Tried] = []
    with pytest.raises(UpstreamFailed) as caught:
        await dispatcher(first, last).run(
            cascade(plan(2)), request(stream=stream), salt="s", decision="mrd-1", tried=tried
        )
    assert str(caught.value.upstream_status or caught.value.code) == outcome
    again = outcome in ("429", "500", "503", "upstream_disconnected")
    assert [one.outcome for one in tried] == ["upstream_timeout", outcome, *[outcome] * again]
    assert [one.replica for one in tried] == ["fake-0"] * len(tried)
    assert settled_all(first, last)


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 422, 499])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_what_is_wrong_with_the_request_is_passed_on(status: int, stream: bool) -> None:
    body = b'{"error":{"message":"max_tokens is too large"}}'
    first, second = FakeUpstream(FakeAnswer([body], status=status)), FakeUpstream(chat_answer("4"))
    answer, tried = await run(first, second, stream=stream)
    assert (answer.response.status, answer.content, answer.data, tried) == (status, body, {}, [])
    assert second.requests == []
    assert settled_all(first)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("0", 0), ("soon", 5), ("\u00b2", 5), ("9" * 5000, 5), ("Wed, 21 Oct 2026 07:28:00 GMT", 5)],
    ids=["seconds", "zero", "word", "odd digit", "absurd", "date"],
)
async def test_how_long_a_refusing_upstream_wants_to_be_left_alone(value: str, seconds: int) -> None:
    upstream = FakeUpstream(FakeAnswer([b"{}"], status=429, headers={"Retry-After": value}))
    with pytest.raises(UpstreamRefused) as caught:
        await run(upstream)
    assert caught.value.retry_after_s == seconds
    assert caught.value.upstream_status == 429


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("answer", [FakeAnswer(hang=True), FakeAnswer([b'{"a"'], headers=SSE, stall=True)])
async def test_an_attempt_that_takes_too_long_is_given_up(answer: FakeAnswer, stream: bool) -> None:
    upstream = FakeUpstream(answer, silence_s=0.01)
    with pytest.raises(UpstreamTimeout, match="fake-0 did not answer in time"):
        await run(upstream, stream=stream)
    assert (upstream.in_flight, upstream.cancelled) == (0, 1)


async def test_a_stream_that_says_something_but_no_token_is_given_up() -> None:
    upstream = FakeUpstream(FakeAnswer([b": ping\n\n"], headers=SSE, stall=True))
    with pytest.raises(UpstreamTimeout, match="fake-0 produced no token in time"):
        await run(upstream, stream=True, timeouts=Timeouts(first_token_s=0.01))
    assert (upstream.in_flight, upstream.cancelled) == (0, 1)


@pytest.mark.parametrize("answer", [FakeAnswer(hang=True), FakeAnswer([b'{"a"'], headers=SSE, stall=True)])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_cancelled_attempt_is_closed_and_recorded(answer: FakeAnswer, stream: bool) -> None:
    upstream, tried = FakeUpstream(answer), []  # type: tuple[FakeUpstream, list[Tried]]
    running = dispatcher(upstream)
    task = asyncio.ensure_future(
        running.run(cascade(plan(1)), request(stream=stream), salt="s", decision="mrd-1", tried=tried)
    )
    await until(lambda: upstream.in_flight)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (upstream.in_flight, upstream.cancelled) == (0, 1)
    assert [one.outcome for one in tried] == ["cancelled"]


async def test_an_answer_that_is_judged_too_weak_is_closed_before_the_next_is_asked() -> None:
    weak, strong = FakeUpstream(chat_stream("weak")), FakeUpstream(chat_stream("strong"))
    running = dispatcher(weak, strong)
    answer = await running.run(
        cascade(plan(2), RejectFirst()), request(stream=True), salt="s", decision="mrd-1", tried=[]
    )
    assert answer.attempt == Attempt("m1", "m1", Reason.ESCALATION)
    assert (weak.in_flight, weak.cancelled) == (0, 1)
    await answer.response.close()


async def test_a_body_that_cannot_be_written_is_the_clients_error() -> None:
    nested: Any = 1
    for _ in range(5000):
        nested = [nested]
    bad = replace(request(), body={"model": "auto", "deep": nested})
    with pytest.raises(BadRequest):
        await dispatcher(FakeUpstream()).run(cascade(plan(1)), bad, salt="s", decision="mrd-1", tried=[])


async def test_time_is_shared_with_what_runs_beside_it() -> None:
    answer, _ = await run(FakeUpstream(chat_answer("4"), replica="r1"))
    answer.response.concurrency = 4
    one = settled(answer, now=answer.sent_s + 2.0, outcome="ok")
    assert one == Tried(answer.attempt, replica="r1", outcome="ok", busy_s=0.5)


@pytest.mark.parametrize("failure", [UpstreamRefused, UpstreamTimeout, UpstreamDisconnected, UpstreamInvalid])
async def test_the_seams_own_failures_pass_through(failure: type[UpstreamFailed]) -> None:
    with pytest.raises(failure):
        await run(FakeUpstream(refusing(failure("no"))))


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
async def test_an_upstream_hears_once_what_its_response_was_worth(stream: bool, good: bool) -> None:
    fine = chat_stream("4") if stream else chat_answer("4")
    upstream = FakeUpstream(fine if good else FakeAnswer([b"<html>"], headers=SSE if stream else {}))
    await ask(dispatcher(upstream), 1, stream=stream)
    (verdicts,) = upstream.verdicts
    assert len(verdicts) == 1
    assert (verdicts[0] is None) is good
