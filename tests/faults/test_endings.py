"""The judge of invariant S is itself judged: every prefix of a whole stream is seen for what it is."""

from collections.abc import Callable

import pytest

from tests.doubles import stand_in_wire as wire
from tests.faults.endings import Ending, judge

SAID = wire.answer_to({"model": "m", "messages": [{"role": "user", "content": "Sort 4 2 3."}]})
STREAMS: dict[str, Callable[[], list[bytes]]] = {
    "chat": lambda: wire.chat_frames(SAID, usage=True),
    "completions": lambda: wire.completion_frames(SAID, usage=True),
    "responses": lambda: wire.response_frames(SAID),
    "messages": lambda: wire.message_frames(SAID),
}
ERROR = b'data: {"error":{"message":"m","type":"server_error","param":null,"code":"c"}}\n\n'
FAILED = (
    b"event: response.failed\n"
    b'data: {"type":"response.failed","response":{"status":"failed","error":{"code":"c","message":"m"}}}\n\n'
)
ANTHROPIC = b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"m"}}\n\n'
ERRORS = {"chat": ERROR, "completions": ERROR, "responses": FAILED, "messages": ANTHROPIC}


@pytest.mark.parametrize("protocol", STREAMS)
def test_a_whole_stream_is_complete(protocol: str) -> None:
    verdict = judge(protocol, b": keep-alive\n\n" + b"".join(STREAMS[protocol]()), clean=True)
    assert verdict.ending is Ending.COMPLETE
    assert verdict.text == "2 3 4"


@pytest.mark.parametrize("protocol", STREAMS)
def test_no_shorter_one_is(protocol: str) -> None:
    raw = b"".join(STREAMS[protocol]())
    clean = [judge(protocol, raw[:size], clean=True).ending for size in range(len(raw) - 2)]
    cut = [judge(protocol, raw[:size], clean=False).ending for size in range(len(raw) - 2)]
    assert set(clean) == {Ending.LIE}
    assert set(cut) == {Ending.ABRUPT}


@pytest.mark.parametrize("protocol", STREAMS)
def test_an_error_last_is_honest_and_nothing_may_follow_it(protocol: str) -> None:
    begun = b"".join(STREAMS[protocol]()[:3])
    failed = judge(protocol, begun + ERRORS[protocol], clean=True)
    assert failed.ending is Ending.FAILED
    assert failed.code in ("c", "api_error")
    went_on = begun + ERRORS[protocol] + b"".join(STREAMS[protocol]()[3:])
    assert judge(protocol, went_on, clean=True).ending is Ending.LIE
    assert judge(protocol, went_on, clean=False).ending is Ending.LIE


def test_a_failed_response_may_be_followed_by_the_frame_its_clients_raise_on() -> None:
    begun = b"".join(STREAMS["responses"]()[:3])
    assert judge("responses", begun + FAILED + ERROR, clean=True).ending is Ending.FAILED
    assert judge("responses", begun + ERROR, clean=True).ending is Ending.LIE


def test_done_without_a_finish_reason_is_a_lie() -> None:
    frames = STREAMS["chat"]()
    assert judge("chat", b"".join(frames[:-3]) + wire.DONE, clean=True).ending is Ending.LIE


def test_a_finish_reason_twice_is_a_lie() -> None:
    frames = STREAMS["chat"]()
    finish = next(frame for frame in frames if b'"finish_reason":"stop"' in frame)
    assert judge("chat", b"".join([*frames[:-1], finish, wire.DONE]), clean=True).ending is Ending.LIE


def test_an_error_with_a_key_missing_is_a_lie() -> None:
    short = ERROR.replace(b'"param":null,', b"")
    assert judge("chat", short, clean=True).ending is Ending.LIE
