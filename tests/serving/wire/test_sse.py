"""What passes through a stream watch, what it learns, and how streams end."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UpstreamInvalid
from serving.wire.frames import MAX_FRAME_BYTES
from serving.wire.sse import StreamWatch

DELTA = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"4"},"finish_reason":null}]}\n\n'
USAGE = (
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":3}}}\n\n'
)
FINISH = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def relay(watch: StreamWatch, chunks: list[bytes]) -> bytes:
    return b"".join(watch.feed(chunk) for chunk in chunks)


@given(st.lists(st.integers(1, 300), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_stream(cuts: list[int]) -> None:
    whole = DELTA * 3 + FINISH + USAGE + DONE
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    chunks = [whole[start:end] for start, end in pairwise(places)]
    watch = StreamWatch("chat", strip_usage=True)
    assert relay(watch, chunks) == DELTA * 3 + FINISH
    assert watch.ended
    assert (watch.usage.input, watch.usage.cached, watch.usage.output) == (9, 3, 2)
    assert watch.finish(cost_usd=0.25) == b": x-millrace-cost-usd=0.250000000\n\n" + DONE


def test_usage_chunk_stays_when_the_client_asked_for_it() -> None:
    watch = StreamWatch("chat", strip_usage=False)
    assert relay(watch, [DELTA, USAGE + DONE]) == DELTA + USAGE


def test_usage_null_on_every_chunk_is_left_alone() -> None:
    chunk = DELTA.replace(b'"choices"', b'"usage":null,"choices"')
    watch = StreamWatch("chat", strip_usage=True)
    assert relay(watch, [chunk, chunk]) == chunk * 2
    assert watch.usage.output == 0


def test_crlf_frames_are_understood() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    stream = (DELTA + FINISH + USAGE + DONE).replace(b"\n\n", b"\r\n\r\n")
    assert relay(watch, [stream[:40], stream[40:]]) == (DELTA + FINISH).replace(b"\n\n", b"\r\n\r\n")
    assert watch.ended
    assert watch.usage.input == 9


def test_a_stream_without_its_terminal_has_not_ended_and_is_counted_by_frames() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    relay(watch, [DELTA, DELTA])
    assert not watch.ended
    assert watch.usage_so_far().output == 2


@pytest.mark.parametrize(
    ("operation", "events", "usage"),
    [
        (
            "responses",
            b'event: response.completed\ndata: {"type":"response.completed","response":{"usage":'
            b'{"input_tokens":5,"output_tokens":7,"input_tokens_details":{"cached_tokens":1}}}}\n\n',
            (5, 1, 7),
        ),
        (
            "messages",
            b'event: message_start\ndata: {"message":{"usage":{"input_tokens":5,"cache_read_input_tokens":2}}}\n\n'
            b'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}\n\n'
            b"event: message_stop\ndata: {}\n\n",
            (5, 2, 7),
        ),
    ],
    ids=["responses", "messages"],
)
def test_other_protocols_are_relayed_whole_and_accounted(
    operation: str, events: bytes, usage: tuple[int, int, int]
) -> None:
    watch = StreamWatch(operation, strip_usage=True)
    assert relay(watch, [events[:50], events[50:]]) == events
    assert watch.ended
    assert (watch.usage.input, watch.usage.cached, watch.usage.output) == usage
    assert watch.finish(cost_usd=0.0).startswith(b": x-millrace-cost-usd=")


def test_a_frame_that_never_ends_is_refused() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    assert watch.feed(DELTA + b"data: " + b"x" * (MAX_FRAME_BYTES + 1)) == DELTA
    assert isinstance(watch.failure, UpstreamInvalid)
    assert "longer than" in watch.failure.message


@pytest.mark.parametrize(
    ("operation", "frame", "names"),
    [
        ("chat", b'data: {"error":{"message":"no","code":500}}\n\n', ": 500"),
        ("chat", b'data: {"id":"c","choices":[],"error":{"message":"no","type":"odd one"}}\n\n', "stream"),
        ("completions", b'data: {"error": "no"}\n\n', "stream"),
        ("messages", b'event: error\ndata: {"type":"error","error":{"type":"api_error"}}\n\n', ": api_error"),
        ("responses", b'data: {"type":"error","code":"server_error","message":"no"}\n\n', ": server_error"),
        (
            "responses",
            b'event: response.failed\ndata: {"type":"response.failed","response":{"error":{"code":"boom"}}}\n\n',
            ": boom",
        ),
    ],
    ids=["code", "no name", "text", "anthropic", "flat", "response.failed"],
)
def test_an_error_of_the_upstream_is_a_failure_and_not_passed_on(operation: str, frame: bytes, names: str) -> None:
    watch = StreamWatch(operation, strip_usage=True)
    assert watch.feed(DELTA + frame + FINISH + DONE) == DELTA
    assert not watch.ended
    assert watch.failure is not None
    assert watch.failure.code == "upstream_failed"
    assert watch.failure.message.endswith(names)


@pytest.mark.parametrize(
    "frame",
    [
        DELTA,
        b'data: {"choices":[{"delta":{"content":"the \\"error\\" word, \\"finish_reason\\":\\"stop\\""}}]}\n\n',
        b'data: {"error":null,"choices":[]}\n\n',
        b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n',
    ],
    ids=["delta", "the words", "null", "quoted end"],
)
def test_what_only_looks_like_an_end_is_passed_on(frame: bytes) -> None:
    watch = StreamWatch("chat", strip_usage=True)
    assert relay(watch, [frame, DELTA]) == frame + DELTA
    assert (watch.ended, watch.failure) == (False, None)
    watch.feed(DONE)
    assert isinstance(watch.failure, UpstreamInvalid)


@pytest.mark.parametrize(
    ("operation", "stream"),
    [
        ("chat", DELTA + DONE),
        ("completions", b'data: {"choices":[{"index":0,"text":"4"}]}\n\n' + DONE),
        ("messages", b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
        ("responses", b'data: {"type":"response.output_text.delta"}\n\n' + DONE),
    ],
    ids=["chat", "completions", "messages", "responses"],
)
def test_an_end_without_a_reason_is_not_believed(operation: str, stream: bytes) -> None:
    watch = StreamWatch(operation, strip_usage=True)
    forwarded = watch.feed(stream)
    assert not watch.ended
    assert isinstance(watch.failure, UpstreamInvalid)
    assert b"[DONE]" not in forwarded
    assert b"message_stop" not in forwarded


def test_every_choice_needs_its_reason() -> None:
    def chunk(index: int, reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": {"content": "x"}, "finish_reason": reason}
        return b"data: " + msgspec.json.encode({"choices": [choice]}) + b"\n\n"

    chunks = [chunk(0), chunk(1), chunk(0, "stop")]
    half = StreamWatch("chat", strip_usage=True, several=True)
    relay(half, [*chunks, DONE])
    assert isinstance(half.failure, UpstreamInvalid)
    both = StreamWatch("chat", strip_usage=True, several=True)
    relay(both, [*chunks, chunk(1, "length"), DONE])
    assert both.ended


def of(index: int, reason: str = "null") -> bytes:
    return b'{"delta":{},"index":%d,"finish_reason":%b}' % (index, reason.encode())


@pytest.mark.parametrize(
    "begun",
    [
        [b'data: {"choices":[%b]}\n\n' % of(index) for index in (0, 1)],
        [b'data: {"choices":[%b,%b]}\n\n' % (of(0), of(1))],
        [b'data: {"choices":[{"index":0,"finish_reason":null},%b]}\n\n' % of(1)],
    ],
    ids=["index later", "two in a frame", "both"],
)
def test_a_choice_has_begun_however_it_is_written(begun: list[bytes]) -> None:
    watch = StreamWatch("chat", strip_usage=True, several=True)
    relay(watch, [*begun, FINISH, DONE])
    assert isinstance(watch.failure, UpstreamInvalid)
    whole = StreamWatch("chat", strip_usage=True, several=True)
    relay(whole, [*begun, FINISH, b'data: {"choices":[%b]}\n\n' % of(1, '"stop"'), DONE])
    assert whole.ended


@pytest.mark.parametrize("rest", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n"])
def test_an_end_that_lacks_only_its_blank_line_counts_when_the_stream_closes(rest: bytes) -> None:
    watch = StreamWatch("chat", strip_usage=True)
    assert relay(watch, [DELTA, FINISH + rest]) == DELTA + FINISH
    assert not watch.ended
    assert watch.close() == b""
    assert watch.ended


@pytest.mark.parametrize("rest", [b"", b"data: [DON", b"data: {", DELTA[:-2], b'data: {"error":{}'])
def test_a_stream_that_closes_otherwise_has_not_ended(rest: bytes) -> None:
    watch = StreamWatch("chat", strip_usage=True)
    relay(watch, [DELTA, FINISH, rest])
    assert watch.close() == b""
    assert not watch.ended


def test_the_first_and_last_frames_of_a_response_are_known() -> None:
    first, last = (b'data: {"type":"response.created","response":{}}\n\n', b'data: {"type":"x","delta":"4"}\n\n')
    watch = StreamWatch("responses", strip_usage=True)
    relay(watch, [first, last, b'data: {"type":"response.comp'])
    watch.close()
    assert (watch.opening, watch.last) == (first, last)


def test_a_terminal_without_its_space_ends_a_stream_too() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    assert relay(watch, [DELTA + FINISH + b"data:[DONE]\n\n"]) == DELTA + FINISH
    assert watch.ended


def test_a_stream_that_ended_without_usage_is_counted_by_frames() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    relay(watch, [DELTA, FINISH, DONE])
    assert watch.ended
    assert watch.usage_so_far().output > 0


def test_a_cut_messages_stream_keeps_its_input_and_estimates_its_output() -> None:
    start = b'event: message_start\ndata: {"message":{"usage":{"input_tokens":5,"cache_read_input_tokens":2}}}\n\n'
    watch = StreamWatch("messages", strip_usage=True)
    relay(watch, [start, DELTA, DELTA])
    usage = watch.usage_so_far()
    assert (usage.input, usage.cached, usage.output) == (5, 2, 3)


def test_an_ended_stream_without_output_has_none() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    relay(watch, [DELTA, b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":0}}\n\n', FINISH, DONE])
    usage = watch.usage_so_far()
    assert (usage.input, usage.output) == (9, 0)


ERROR = b'data: {"error":{"message":"no","code":500}}\n\n'
TWO = b'data: {"choices":[{"index":0,"finish_reason":null},{"index":0,"finish_reason":null}]}\n\n'


@pytest.mark.parametrize(
    ("stream", "forwarded", "ended"),
    [
        (DELTA + FINISH + DONE, DELTA + FINISH, True),
        (DELTA + ERROR + FINISH + DONE, DELTA, False),
        (DELTA + FINISH + DONE + DELTA + DONE, DELTA + FINISH, True),
        (DELTA + DONE + FINISH + DONE, DELTA, False),
        (TWO + DONE + FINISH + DONE, TWO, False),
        (TWO + FINISH + DONE, TWO + FINISH, True),
        (DELTA + FINISH + b"x" + DONE, DELTA + FINISH + b"x" + DONE, False),
        (DELTA + FINISH + b"\n" + DONE, DELTA + FINISH, True),
        (DELTA + FINISH + b"\n" + USAGE + DONE, DELTA + FINISH, True),
        (DELTA + FINISH + DONE + USAGE, DELTA + FINISH, True),
    ],
    ids=[
        "whole", "error first", "end twice", "end before its reason", "two in one frame", "two and a reason",
        "no frame of its own", "odd blank line", "another before usage", "usage after the end",
    ],
)  # fmt: skip
def test_an_end_that_came_in_one_chunk_with_other_frames(stream: bytes, forwarded: bytes, ended: bool) -> None:
    watch = StreamWatch("chat", strip_usage=True)
    assert watch.feed(stream) == forwarded
    assert watch.ended is ended


def test_an_end_counts_whatever_broke_after_it() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    assert watch.feed(DELTA + FINISH + DONE + b"x" * (MAX_FRAME_BYTES + 1)) == DELTA + FINISH
    assert watch.ended
