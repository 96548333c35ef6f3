"""What breaks within a stream is said within it; everything else is left as it was."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from serving.replica.stream_errors import StreamErrors, root_of


def described(error: Exception) -> dict[str, Any]:
    return {"message": str(error), "code": 400 if isinstance(error, ValueError) else 500}


async def events(failing: Exception | None) -> AsyncIterator[bytes]:
    yield b'data: {"type":"response.created"}\n\n'
    if failing is not None:
        raise failing
    yield b"data: [DONE]\n\n"


async def refused(request: Request, error: Exception) -> Response:
    return JSONResponse(described(error), status_code=400)


def app_that(answers: Response | Exception) -> Starlette:
    async def route(request: Request) -> Response:
        if isinstance(answers, Exception):
            raise answers
        return answers

    return Starlette(routes=[Route("/", route)], exception_handlers={ValueError: refused})


async def sent_by(app: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "asgi": {"spec_version": "2.4"},
    }
    await app(scope, receive, send)
    return sent


def stream(failing: Exception | None) -> Response:
    return StreamingResponse(events(failing), media_type="text/event-stream")


@pytest.mark.parametrize(("error", "code"), [(ValueError("bad grammar"), 400), (KeyError("x"), 500)])
async def test_an_exception_is_the_last_event(error: Exception, code: int) -> None:
    sent = await sent_by(StreamErrors(app_that(stream(error)), described))
    assert sent[0]["status"] == 200
    assert sent[-1]["more_body"] is False
    last = sent[-1]["body"]
    assert last.startswith(b"data: ")
    assert last.endswith(b"\n\n")
    assert json.loads(last[6:]) == {"error": {"message": str(error), "code": code}}
    assert [message["body"] for message in sent[1:-1]] == [b'data: {"type":"response.created"}\n\n']


async def test_a_stream_that_ends_well_is_left_alone() -> None:
    sent = await sent_by(StreamErrors(app_that(stream(None)), described))
    assert sent == await sent_by(app_that(stream(None)))


@pytest.mark.parametrize("answers", [PlainTextResponse("ok"), ValueError("early")], ids=["whole", "handled"])
async def test_other_answers_are_left_alone(answers: Response | Exception) -> None:
    assert await sent_by(StreamErrors(app_that(answers), described)) == await sent_by(app_that(answers))


async def test_an_exception_outside_of_an_event_stream_goes_on() -> None:
    download = StreamingResponse(events(KeyError("x")), media_type="text/plain")
    with pytest.raises(KeyError):
        await sent_by(StreamErrors(app_that(download), described))


def test_root_of_what_frameworks_wrap() -> None:
    first = ValueError("first")
    wrapped = RuntimeError("response already started")
    wrapped.__cause__ = ExceptionGroup("tasks", [first])
    assert root_of(wrapped) is first
    assert root_of(first) is first
