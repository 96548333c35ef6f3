"""Reading a streamed answer: only a finish reason and `[DONE]` make it whole."""

import json
from typing import Any

import pytest

from serving.cluster.ports import free_port
from serving.cluster.ray_head import ClusterError
from serving.wire.answer_stream import StreamedAnswer, stream_chat


def frame(text: str | None = None, *, finish: str | None = None) -> str:
    delta: dict[str, Any] = {} if text is None else {"content": text}
    return "data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]})


WHOLE = [frame("4"), frame("2"), frame(finish="stop"), ": x-millrace-cost-usd=0.000012", "data: [DONE]"]


def read(lines: list[str]) -> tuple[str, StreamedAnswer]:
    answer = StreamedAnswer()
    return "".join(answer.parts(f"{line}\r\n".encode() for line in lines)), answer


def test_a_whole_answer_with_its_cost() -> None:
    text, answer = read(WHOLE)
    assert text == "42"
    assert answer.complete
    assert answer.cost_usd == "0.000012"


@pytest.mark.parametrize("missing", [2, 4], ids=["finish reason", "done"])
def test_an_answer_that_lacks_its_end_was_cut_short(missing: int) -> None:
    assert not read(WHOLE[:missing] + WHOLE[missing + 1 :])[1].complete


def test_a_line_that_was_cut_is_no_answer() -> None:
    answer = StreamedAnswer()
    assert "".join(answer.parts([frame("4").encode() + b"\n", b'data: {"choices": [{"del'])) == "4"
    assert not answer.complete


def test_an_error_frame_is_no_answer() -> None:
    _, answer = read([frame("4"), 'data: {"error": {"message": "the replica died", "code": "x"}}', "data: [DONE]"])
    assert not answer.complete
    assert answer.error == "the replica died"


def test_comments_blank_lines_and_usage_are_no_text() -> None:
    text, answer = read([": ping", "", *WHOLE[:3], 'data: {"choices": [], "usage": {"total_tokens": 3}}', WHOLE[4]])
    assert text == "42"
    assert answer.complete


def test_a_gateway_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ClusterError, match=url):
        list(stream_chat(url, "mr-x", {}, StreamedAnswer(), timeout_s=1))
