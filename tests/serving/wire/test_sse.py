"""What passes through a stream watch, what it learns, and how streams end."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UpstreamDisconnected, UpstreamInvalid
from serving.wire.sse import MAX_FRAME_BYTES, StreamWatch, error_frame, has_event, is_error_frame

DELTA = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"4"},"finish_reason":null}]}\n\n'
USAGE = (
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":3}}}\n\n'
)
DONE = b"data: [DONE]\n\n"


def relay(watch: StreamWatch, chunks: list[bytes]) -> bytes:
    return b"".join(watch.feed(chunk) for chunk in chunks)


@given(st.lists(st.integers(1, 300), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_stream(cuts: list[int]) -> None:
    whole = DELTA * 3 + USAGE + DONE
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    chunks = [whole[start:end] for start, end in pairwise(places)]
    watch = StreamWatch("chat", strip_usage=True)
    assert relay(watch, chunks) == DELTA * 3
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
    stream = (DELTA + USAGE + DONE).replace(b"\n\n", b"\r\n\r\n")
    assert relay(watch, [stream[:40], stream[40:]]) == DELTA.replace(b"\n\n", b"\r\n\r\n")
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
            b'event: message_delta\ndata: {"usage":{"output_tokens":7}}\n\nevent: message_stop\ndata: {}\n\n',
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
    with pytest.raises(UpstreamInvalid, match="longer than"):
        watch.feed(b"data: " + b"x" * (MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize(
    ("chunk", "is_error"),
    [
        (DELTA, False),
        (b'data: {"error":{"message":"no","code":null}}\n\n', True),
        (b'event: error\ndata: {"type":"error","error":{"message":"no"}}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":"the \\"error\\" word"}}]}\n\n', False),
        (b'data: {"error":null,"choices":[]}\n\n', False),
    ],
    ids=["delta", "openai", "anthropic", "the word", "null"],
)
def test_first_frames_that_are_errors(chunk: bytes, is_error: bool) -> None:
    assert is_error_frame(chunk) is is_error


def test_error_frames_have_the_shape_their_clients_raise_on() -> None:
    error = UpstreamDisconnected("gone")
    openai = msgspec.json.decode(error_frame("chat", error).removeprefix(b"data: "))
    assert openai["error"] == {
        "message": "gone",
        "type": "upstream_error",
        "param": None,
        "code": "upstream_disconnected",
    }
    anthropic = error_frame("messages", error)
    assert anthropic.startswith(b"event: error\ndata: ")
    assert msgspec.json.decode(anthropic.split(b"data: ")[1])["type"] == "error"


@pytest.mark.parametrize(
    ("operation", "quote"),
    [("chat", b"data: [DONE]"), ("chat", b"data:[DONE]"), ("responses", b"event: response.completed")],
)
def test_an_answer_may_quote_a_terminal_frame(operation: str, quote: bytes) -> None:
    frame = b'data: {"choices":[{"delta":{"content":"' + quote + b'"}}]}\n\n'
    watch = StreamWatch(operation, strip_usage=True)
    assert relay(watch, [frame, DELTA]) == frame + DELTA
    assert not watch.ended


def test_a_terminal_without_its_space_ends_a_stream_too() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    assert relay(watch, [DELTA + b"data:[DONE]\n\n"]) == DELTA
    assert watch.ended


def test_a_stream_that_ended_without_usage_is_counted_by_frames() -> None:
    watch = StreamWatch("chat", strip_usage=True)
    relay(watch, [DELTA, DELTA, DONE])
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
    relay(watch, [DELTA, b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":0}}\n\n', DONE])
    usage = watch.usage_so_far()
    assert (usage.input, usage.output) == (9, 0)


def test_a_failed_response_has_its_protocols_terminal_event_first() -> None:
    failed, error = error_frame("responses", UpstreamDisconnected("gone")).split(b"\n\n")[:2]
    name, data = failed.split(b"\n")
    assert name == b"event: response.failed"
    event = msgspec.json.decode(data.removeprefix(b"data: "))
    assert event["response"]["status"] == "failed"
    assert event["response"]["error"]["code"] == "upstream_disconnected"
    assert msgspec.json.decode(error.removeprefix(b"data: "))["error"]["code"] == "upstream_disconnected"


@pytest.mark.parametrize(
    ("chunk", "complete"),
    [
        (b"", False),
        (b": ping\n\n", False),
        (b"event: x\n", False),
        (b"data: {", False),
        (b"data: {}\n", True),
        (b": ping\n\nevent: x\ndata: {}\n\n", True),
    ],
)
def test_when_the_first_event_is_here(chunk: bytes, complete: bool) -> None:
    assert has_event(chunk) is complete
