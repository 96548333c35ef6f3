"""The way back: headers go out once, whatever they hold, and a response that could not start has not started."""

import pytest
from starlette.types import Message

from serving.wire.reply import Reply


@pytest.fixture
def sent() -> list[Message]:
    return []


@pytest.fixture
def reply(sent: list[Message]) -> Reply:
    async def send(message: Message) -> None:
        sent.append(message)

    return Reply(send, "req-1")


async def test_a_whole_response(reply: Reply, sent: list[Message]) -> None:
    reply.headers["x-millrace-model"] = "small"
    await reply.whole(200, b"{}")
    assert sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"2"),
                (b"x-request-id", b"req-1"),
                (b"x-millrace-model", b"small"),
            ],
        },
        {"type": "http.response.body", "body": b"{}", "more_body": False},
    ]
    assert (reply.started, reply.ended, reply.status) == (True, True, 200)


async def test_a_stream_sends_no_empty_parts(reply: Reply, sent: list[Message]) -> None:
    await reply.stream(200)
    for part in (b"a", b"", b"b"):
        await reply.more(part)
    assert not reply.ended
    await reply.end(b"c")
    assert [message["body"] for message in sent[1:]] == [b"a", b"b", b"c"]
    assert [message["more_body"] for message in sent[1:]] == [True, True, False]
    assert (b"content-type", b"text/event-stream; charset=utf-8") in sent[0]["headers"]


async def test_a_content_type_that_does_not_fit_a_header_does_not_break_the_answer(
    reply: Reply, sent: list[Message]
) -> None:
    await reply.whole(200, b"{}", "application/json; naïve=\u2603")
    assert dict(sent[0]["headers"])[b"content-type"] == "application/json; naïve=?".encode("latin-1")


async def test_a_response_that_failed_to_start_has_not_started(reply: Reply, sent: list[Message]) -> None:
    reply.headers["x-\u2603"] = "1"
    reply.headers["x-bad"] = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        await reply.whole(200, b"{}")
    assert not reply.started
    assert sent == []
