"""An upstream that costs next to nothing: precomputed chat completions, unary or streamed.

    python -m benchmarks.relay.upstream PORT

Speaks HTTP/1.1 on a bare asyncio protocol. `stream` in the body asks for `CHUNKS` frames and [DONE], `include_usage`
for a usage frame before it, `paced` for one frame per turn of the event loop instead of all in one go.
"""

import asyncio
import json
import sys
from typing import Any, cast

import httptools
import uvloop

CHUNKS = 64
_HEAD: dict[str, Any] = {"id": "chatcmpl-fake", "created": 1_700_000_000, "model": "fake"}
_USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}


def _unary() -> bytes:
    message = {"role": "assistant", "content": "word " * CHUNKS}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = _json(_HEAD | {"object": "chat.completion", "choices": [choice], "usage": _USAGE})
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _frames(*, usage: bool) -> list[bytes]:
    head = _HEAD | {"object": "chat.completion.chunk"}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": "word "}, None)] * (CHUNKS - 2)
    deltas += [({}, "stop")]
    frames = [
        _event(head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]})
        for delta, reason in deltas
    ]
    last = [_event(head | {"choices": [], "usage": _USAGE})] if usage else []
    return [_chunk(frame) for frame in (*frames, *last, b"data: [DONE]\n\n")] + [b"0\r\n\r\n"]


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + _json(payload) + b"\n\n"


def _json(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


UNARY = _unary()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FRAMES = {usage: _frames(usage=usage) for usage in (False, True)}
WHOLE_STREAM = {usage: STREAM_HEAD + b"".join(frames) for usage, frames in FRAMES.items()}


class Connection(asyncio.Protocol):
    """One keep-alive connection. Requests are answered in order, one at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own class has no such base

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """A part of the body, from the parser."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is complete, from the parser: answer it."""
        body, self._body = b"".join(self._body).replace(b" ", b""), []
        if b'"stream":true' not in body:
            self._transport.write(UNARY)
            return
        frames = FRAMES[b'"include_usage":true' in body]
        if b'"paced":true' in body:
            self._transport.write(STREAM_HEAD)
            self._pace(frames, 0)
        else:
            self._transport.write(WHOLE_STREAM[b'"include_usage":true' in body])

    def _pace(self, frames: list[bytes], sent: int) -> None:
        self._transport.write(frames[sent])
        if sent + 1 < len(frames):
            asyncio.get_running_loop().call_soon(self._pace, frames, sent + 1)


async def serve(port: int) -> None:
    """Serve on loopback until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
