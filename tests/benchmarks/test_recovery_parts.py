"""The recovery benchmark's parts: what it reads from metrics, answers and /proc, and what it refuses to count."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from benchmarks.recovery import killing, leaving
from benchmarks.recovery.asking import Asker, Usage, complete, usage_in
from benchmarks.recovery.engines import GENERATED, UNFINISHED, Engines, Load, addresses, figure
from benchmarks.recovery.killing import kill
from benchmarks.recovery.leaving import CLIENTS, MIDST_TOKENS, Door, RoundError, leave, reached, until
from benchmarks.recovery.processes import Process, below, exists, family, left, parse

TARGETS = [
    {"targets": ["10.0.0.1:30001"], "labels": {"role": "gateway"}},
    {"targets": ["10.0.0.1:30002"], "labels": {"role": "engine", "model": "small"}},
    {"targets": ["10.0.0.1:30003", "10.0.0.2:30003"], "labels": {"role": "engine", "model": "large"}},
]
EXPOSITION = """\
# HELP millrace_engine_unfinished Requests accepted and not yet answered.
# TYPE millrace_engine_unfinished gauge
millrace_engine_unfinished{model="large",replica="a b"} 3.0
millrace_engine_unfinished_other{model="large",replica="a b"} 9.0
millrace_engine_generated_tokens_total{model="large",replica="a b"} 1.5e+03
"""


def test_only_the_engines_of_the_model_are_watched() -> None:
    assert addresses(TARGETS, "large") == ["10.0.0.1:30003", "10.0.0.2:30003"]
    with pytest.raises(ValueError, match="no engine replica of huge"):
        addresses(TARGETS, "huge")


def test_figures_add_up_over_replicas() -> None:
    assert figure([EXPOSITION, EXPOSITION], UNFINISHED) == 6.0
    assert figure([EXPOSITION], GENERATED) == 1500.0
    assert figure(["plain 2.0\n"], "plain") == 2.0
    with pytest.raises(ValueError, match="no millrace_engine_unfinished"):
        figure([EXPOSITION, "up 1.0\n"], UNFINISHED)


@pytest.mark.parametrize(
    "usage",
    [None, {"prompt_tokens": 70}, {"prompt_tokens": 70, "prompt_tokens_details": None}],
    ids=["no usage", "no details", "null details"],
)
def test_a_usage_without_cached_tokens_is_told(usage: Any) -> None:
    with pytest.raises(ValueError, match="no cached_tokens in usage"):
        usage_in({"usage": usage})


def test_usage_says_how_much_was_cached() -> None:
    usage = {"prompt_tokens": 70, "prompt_tokens_details": {"cached_tokens": 64}}
    assert usage_in({"usage": usage}) == Usage(70, 64)


TEXT = {"choices": [{"delta": {"content": "5"}, "finish_reason": None}]}
END = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
DONE = b"data: [DONE]\n\n"


def frames(*answers: object) -> bytes:
    return b"".join(b"data: " + json.dumps(answer).encode() + b"\n\n" for answer in answers)


@pytest.mark.parametrize(
    ("body", "stream", "good"),
    [
        (frames(TEXT, END) + DONE, True, True),
        (frames(TEXT, END) + b": a comment\n\n" + DONE, True, True),
        (frames(TEXT, END), True, False),
        (frames(TEXT) + DONE, True, False),
        (frames(TEXT, {"error": {"code": "x"}}, END) + DONE, True, False),
        (frames(TEXT)[:-9], True, False),
        (b"", True, False),
        (json.dumps(END).encode(), False, True),
        (json.dumps(TEXT).encode(), False, False),
        (b"<html>", False, False),
    ],
    ids=[
        "a stream",
        "a comment in it",
        "no [DONE]",
        "no finish reason",
        "an error in it",
        "cut",
        "empty",
        "whole",
        "whole, unfinished",
        "no JSON",
    ],
)
def test_an_answer_is_complete_or_not(body: bytes, stream: bool, good: bool) -> None:
    assert complete(body, stream=stream) is good


def test_a_row_of_the_process_table() -> None:
    stat = "42 (ray::x (y) z) S 7 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 3 0 98765 1000 200"
    assert parse(stat) == Process(42, 7, "S", 98765)


def test_a_family_is_the_actor_and_all_below_it() -> None:
    rows = [Process(1, 0, "S", 1), Process(9, 8, "S", 4), Process(7, 1, "S", 2), Process(8, 7, "R", 3)]
    assert [process.pid for process in below(7, rows)] == [7, 8, 9]
    with pytest.raises(ValueError, match="no process 5"):
        below(5, rows)


@pytest.mark.parametrize(
    ("now", "there"),
    [
        (Process(7, 1, "S", 2), True),
        (Process(7, 3, "R", 2), True),
        (Process(7, 1, "Z", 2), False),
        (Process(7, 1, "S", 5), False),
        (None, False),
    ],
    ids=["the same", "orphaned", "ended", "a later one", "none"],
)
def test_a_process_is_told_from_a_later_one(now: Process | None, there: bool) -> None:
    assert exists(Process(7, 1, "S", 2), now) is there


def test_real_processes_are_there_until_they_end() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = family(os.getpid())
        assert found[0].pid == os.getpid()
        assert process.pid in [row.pid for row in found]
        child = [row for row in found if row.pid == process.pid]
        assert left(child) == child
    assert left(child) == []


async def test_an_engine_that_does_not_let_go_is_seen_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "LIMIT_S", 0.05)

    async def read() -> Load:
        return Load(2.0, 0.0)

    load, polls = await until(read, lambda load: load.unfinished == 0)
    assert load.unfinished == 2.0
    assert polls > 1
    with pytest.raises(RoundError, match="for an idle engine; it shows 2 unfinished"):
        await reached(read, lambda load: load.unfinished == 0, "an idle engine")


class Engine:
    """A gateway and its engine in one: counts who is connected, answers `/metrics` like an engine."""

    def __init__(self, *, status: int = 200) -> None:
        self.status = status
        self.unfinished = 0
        self.asked: list[dict[str, Any]] = []

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        if self.status != 200:
            return web.json_response({"error": {"code": "x"}}, status=self.status)
        self.unfinished += 1
        try:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            if self.asked[-1]["stream"]:
                await response.prepare(request)
                await response.write(frames(TEXT))
            await asyncio.Event().wait()
            return response
        finally:
            self.unfinished -= 1

    async def metrics(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer token"
        labels = '{model="large",replica="a"}'
        generated = len(self.asked) * MIDST_TOKENS
        return web.Response(text=f"{UNFINISHED}{labels} {self.unfinished}\n{GENERATED}{labels} {generated}\n")

    async def targets(self, request: web.Request) -> web.Response:
        return web.json_response([{"targets": [request.host], "labels": {"role": "engine", "model": "large"}}])


@asynccontextmanager
async def serving(engine: Engine) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", engine.chat)
    app.router.add_get("/metrics", engine.metrics)
    app.router.add_get("/metrics/targets", engine.targets)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("stream", [True, False], ids=["streams", "whole answers"])
async def test_clients_that_leave_are_let_go(stream: bool) -> None:
    engine = Engine()
    async with serving(engine) as url, aiohttp.ClientSession() as http:
        engines = await Engines.found(http, url, "large", "token")
        seen = await leave(Door(url, "mr-x", "large"), engines.load, stream=stream)
    assert (seen.stream, seen.unfinished_before, seen.generated) == (stream, CLIENTS, CLIENTS * MIDST_TOKENS)
    assert seen.polls >= 1
    assert {(asked["stream"], asked["ignore_eos"], asked["model"]) for asked in engine.asked} == {
        (stream, True, "large")
    }


async def test_a_refused_stream_is_no_round() -> None:
    async with serving(Engine(status=503)) as url, aiohttp.ClientSession() as http:
        engines = await Engines.found(http, url, "large", "token")
        with pytest.raises(RoundError, match="503"):
            await leave(Door(url, "mr-x", "large"), engines.load, stream=True)


async def test_failures_are_told_and_not_raised() -> None:
    async with serving(Engine(status=503)) as url, aiohttp.ClientSession() as http:
        asker = Asker(http, url, "mr-x")
        assert (await asker.failure("large", "2 + 2", stream=False)).startswith("503")
        with pytest.raises(ValueError, match="large answered 503"):
            await asker.usage("large", "2 + 2")
    async with aiohttp.ClientSession() as http:
        assert "Connect" in await Asker(http, url, "mr-x").failure("large", "2 + 2", stream=True)


def answers(outcomes: Sequence[str]) -> Callable[[bool], Awaitable[str]]:
    """Asks that come out as listed, the last one for ever."""
    rest = list(outcomes)

    async def ask(_: bool) -> str:
        await asyncio.sleep(0)
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return ask


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "PAUSE_S", 0.0)
    monkeypatch.setattr(killing, "AROUND_S", 0.01)


REPLICA = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
print("up", flush=True)
child.wait()
sys.stdin.read()
"""


@contextmanager
def replica(child: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that calls itself a Serve replica, with one below it that runs `child`."""
    command = [sys.executable, "-c", REPLICA, "ray::ServeReplica:engine-x:Engine", child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("child", "gone"), [("pass", True), ("input()", False)], ids=["nothing below it is left", "a child lives on"]
)
async def test_a_killed_replica_and_what_is_left_of_it(child: str, gone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "GONE_LIMIT_S", 20.0 if gone else 0.2)
    with replica(child) as process:
        seen = await kill(process.pid, answers(["503: gone", "503: gone", ""]), answers(["", "cut", ""]))
        assert process.wait(20) == -9
    assert seen.processes[0].pid == process.pid
    assert (seen.gone_s is not None) is gone
    assert seen.back_s is not None
    assert seen.failures == ["cut"]


@pytest.mark.usefixtures("quick")
async def test_a_replica_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "BACK_LIMIT_S", 0.05)
    with replica("pass") as process:
        seen = await kill(process.pid, answers(["503: gone"]), answers([""]))
    assert seen.gone_s is not None
    assert seen.back_s is None
