"""A scriptable stand-in for a hosted OpenAI-compatible API, run as its own process.

    python -m tests.doubles.hosted_api --port 9000 --key-env STAND_IN_KEY [--port-file F] [--tls-cert C --tls-key K]

Says in every answer that it is a stand-in: header `x-millrace-stand-in: true`, `system_fingerprint`, model name.
Faults are scripted at `POST /control/script` (`{"next": [script, ...], "default": script}`) or per request by the
header `x-stand-in-script` or the body field `stand_in`; `GET /control/state` counts what it saw, `GET
/control/requests` says when each request id came, `POST /control/reset` forgets everything. Deterministic, loopback
only.
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from aiohttp import web

from tests.doubles import stand_in_wire as wire
from tests.doubles.stand_in_plain import PLAIN
from tests.doubles.stand_in_script import Script, ScriptBook, parse_script

MODELS = ("stand-in-1",)
GARBAGE = b"<html>this is no JSON</html>"
MAX_BODY_BYTES = 64 * 1024**2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Frames = Callable[[wire.Answer, bool], list[bytes]]
EXIT_STATUS = 137
DRIP_AFTER_FRAMES = 6
"""So many are sent whole: in every protocol there is content among them."""
SHAPES: dict[str, tuple[Callable[[wire.Answer], wire.Json], Frames]] = {
    "/v1/chat/completions": (wire.chat, lambda said, usage: wire.chat_frames(said, usage=usage)),
    "/v1/completions": (wire.completion, lambda said, usage: wire.completion_frames(said, usage=usage)),
    "/v1/responses": (wire.response, lambda said, usage: wire.response_frames(said)),
    "/v1/messages": (wire.message, lambda said, usage: wire.message_frames(said)),
}


@dataclass
class Counts:
    """What the stand-in saw since the last reset, requests with a wrong key aside."""

    requests: int = 0
    in_flight: int = 0
    answered: int = 0
    """Brought to the end, a scripted cut included."""
    cancelled: int = 0
    """The client went away before the end."""
    cut: int = 0
    """We cut the connection, as scripted."""
    refused_keys: int = 0
    frames: int = 0


class StandIn:
    """The server's state and handlers. `key` is the only bearer key it accepts; `deaf`: scripts in requests are not
    for this one.
    """

    def __init__(self, key: str, *, deaf: bool = False, script: wire.Json | None = None) -> None:
        self._key = key
        self._deaf = deaf
        self._book = ScriptBook()
        self._book.write({"default": script or {}})
        self._counts = Counts()
        self._last: wire.Json | None = None
        self._seen: list[tuple[str, float]] = []

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._keyed])
        app.on_response_prepare.append(_announce)
        for path in SHAPES:
            app.router.add_post(path, self._counted(self._generate))
        app.router.add_post("/v1/embeddings", self._counted(self._embed))
        for path, whole in PLAIN.items():
            app.router.add_post(path, self._counted(partial(self._plain, whole)))
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/control/state", self._state)
        app.router.add_get("/control/requests", self._requests)
        app.router.add_post("/control/script", self._script)
        app.router.add_post("/control/reset", self._reset)
        return app

    @web.middleware
    async def _keyed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/control/") or self._key in _presented_keys(request):
            return await handler(request)
        self._counts.refused_keys += 1
        return _refusal(401, "Incorrect API key provided.", kind="authentication_error", code="invalid_api_key")

    def _counted(self, handler: Handler) -> Handler:
        async def counting(request: web.Request) -> web.StreamResponse:
            self._counts.requests += 1
            self._counts.in_flight += 1
            self._seen.append((request.headers.get("x-request-id", ""), time.time()))
            try:
                response = await handler(request)
            except asyncio.CancelledError:
                self._counts.cancelled += 1
                raise
            except (ConnectionError, web.HTTPException) as gone:
                self._counts.cancelled += isinstance(gone, ConnectionError)
                raise
            else:
                self._counts.answered += 1
                return response
            finally:
                self._counts.in_flight -= 1

        return counting

    async def _read(self, request: web.Request) -> tuple[wire.Json, Script]:
        raw = await request.read()
        try:
            body = json.loads(raw)
            if not isinstance(body, dict):
                raise ValueError("the body must be a JSON object")
            self._last = {"path": request.path, "headers": self._shown_headers(request), "body": body}
            return body, self._script_for(request, body)
        except (ValueError, TypeError) as error:
            refusal = wire.error_body(str(error), kind="invalid_request_error", code=None)
            raise web.HTTPBadRequest(text=json.dumps(refusal), content_type="application/json") from error

    def _script_for(self, request: web.Request, body: wire.Json) -> Script:
        if self._deaf:
            return self._book.take()
        own = request.headers.get("x-stand-in-script")
        if own is not None:
            return parse_script(json.loads(own))
        if "stand_in" in body:
            return parse_script(body["stand_in"])
        return self._book.take()

    def _shown_headers(self, request: web.Request) -> dict[str, str]:
        shown = {name.lower(): value for name, value in request.headers.items()}
        for name in ("authorization", "x-api-key"):
            if name in shown:
                shown[name] = "the expected key" if self._key in _presented_keys(request) else "another key"
        return shown

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body, script = await self._read(request)
        refusal = await _before_head(script)
        if refusal is not None:
            return refusal
        said = wire.answer_to(body, text=script.answer, counted=not script.no_usage)
        if script.negative_usage:
            said = replace(said, prompt_tokens=-7, written=-3)
        whole, frames = SHAPES[request.path]
        if not body.get("stream"):
            return await self._unary(request, whole(said), script)
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        made = wire.tool_frames(said, script.tool) if script.tool else frames(said, usage)
        return await self._stream(request, made, script)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        body, script = await self._read(request)
        return await _before_head(script) or await self._unary(request, wire.embeddings(body), script)

    async def _plain(self, whole: Callable[[wire.Json], wire.Json], request: web.Request) -> web.StreamResponse:
        body, script = await self._read(request)
        return await _before_head(script) or await self._unary(request, whole(body), script)

    async def _unary(self, request: web.Request, answer: wire.Json, script: Script) -> web.StreamResponse:
        raw = GARBAGE if script.garbage else json.dumps(_padded(answer, script)).encode()
        raw = raw[: len(raw) // 2] if script.half else raw
        kind = script.content_type or "application/json"
        if script.stop is None and not script.delay_chunk_s and not script.drip_s:
            return web.Response(body=raw, content_type=kind)
        response = web.StreamResponse(headers={"content-type": kind})
        response.content_length = len(raw)
        await response.prepare(request)
        if script.drip_s:
            return await _drip(response, raw, script.drip_s)
        await response.write(raw[: len(raw) // 2])
        if script.stop is not None:
            return await self._stop(request, response, script)
        await asyncio.sleep(script.delay_chunk_s)
        await response.write(raw[len(raw) // 2 :])
        return response

    async def _stream(self, request: web.Request, frames: list[bytes], script: Script) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": script.content_type or "text/event-stream"})
        await response.prepare(request)
        if script.garbage:
            frames = [b"data: " + GARBAGE + b"\n\n", *frames]
        if script.pad_bytes:
            frames = [wire.event({"choices": [], "padding": "x" * script.pad_bytes}), *frames]
        if script.drip_s:
            begun = DRIP_AFTER_FRAMES
            await response.write(b"".join(frames[:begun]))
            return await _drip(response, b"".join(frames[begun:]), script.drip_s)
        for sent, frame in enumerate(frames[: script.stop]):
            if sent and script.delay_chunk_s:
                await asyncio.sleep(script.delay_chunk_s)
            await response.write(frame)
            self._counts.frames += 1
        return response if script.stop is None else await self._stop(request, response, script)

    async def _stop(self, request: web.Request, response: web.StreamResponse, script: Script) -> web.StreamResponse:
        if script.stop == script.stall_after:
            await asyncio.Event().wait()
        if script.stop == script.exit_after:
            await asyncio.sleep(0)
            os._exit(EXIT_STATUS)
        if script.stop == script.error_after:
            await response.write(wire.error_event(request.path))
        elif script.stop == script.cut_after and request.transport is not None:
            await asyncio.sleep(0)
            self._counts.cut += 1
            request.transport.abort()
        return response

    async def _list_models(self, request: web.Request) -> web.Response:
        return web.json_response(wire.models(MODELS))

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self._counts) | {"last": self._last})

    async def _requests(self, request: web.Request) -> web.Response:
        return web.json_response(self._seen)

    async def _script(self, request: web.Request) -> web.Response:
        try:
            self._book.write(await request.json())
        except (ValueError, TypeError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return web.json_response({"ok": True})

    async def _reset(self, request: web.Request) -> web.Response:
        self._book.clear()
        self._counts = Counts(in_flight=self._counts.in_flight)
        self._last = None
        self._seen.clear()
        return web.json_response({"ok": True})


def _padded(answer: wire.Json, script: Script) -> wire.Json:
    return answer | {"padding": "x" * script.pad_bytes} if script.pad_bytes else answer


async def _drip(response: web.StreamResponse, raw: bytes, pause_s: float) -> web.StreamResponse:
    for byte in raw:
        await response.write(bytes([byte]))
        await asyncio.sleep(pause_s)
    return response


async def _announce(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-millrace-stand-in"] = "true"


def _presented_keys(request: web.Request) -> tuple[str, ...]:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return (bearer, request.headers.get("x-api-key", ""))


def _refusal(status: int, message: str, *, kind: str, code: str | None, retry_after: str | None = None) -> web.Response:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return web.json_response(wire.error_body(message, kind=kind, code=code), status=status, headers=headers)


async def _before_head(script: Script) -> web.Response | None:
    """End, hang, wait and refuse, as scripted; None when the answer may begin."""
    if script.exit_after == 0:
        os._exit(EXIT_STATUS)
    if script.hang:
        await asyncio.Event().wait()
    await asyncio.sleep(script.delay_head_s)
    if script.status == 200:
        return None
    kind = "rate_limit_error" if script.status == 429 else "server_error"
    return _refusal(
        script.status,
        f"The stand-in answers {script.status} as scripted.",
        kind=kind,
        code="scripted",
        retry_after=script.retry_after,
    )


async def serve(key: str, options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM. The port file is written once the socket listens."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = StandIn(key, deaf=options.deaf, script=options.script).app()
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, options.host, options.port, ssl_context=_tls(options)).start()
    port = runner.addresses[0][1]
    scheme = "https" if options.tls_cert else "http"
    print(f"stand-in for a hosted API at {scheme}://{options.host}:{port}/v1", flush=True)
    if options.port_file:
        _write_whole(options.port_file, f"{port}\n")
    await stopped.wait()
    await runner.cleanup()


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    return context


def _write_whole(path: Path, text: str) -> None:
    """Appear in one step, so that a reader never sees half a port."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)


def main() -> int:
    """The command line. Exit code 2: the key variable is not set."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.hosted_api", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--key-env", required=True, help="environment variable that holds the key to accept")
    parser.add_argument("--port-file", type=Path, help="the port is written here once it listens")
    parser.add_argument("--deaf", action="store_true", help="ignore scripts inside requests")
    parser.add_argument("--script", type=json.loads, help="the default script, as JSON")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    options = parser.parse_args()
    key = os.environ.get(options.key_env, "")
    if not key:
        print(f"--key-env: environment variable {options.key_env} is not set; set it to any key", file=sys.stderr)
        return 2
    asyncio.run(serve(key, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
