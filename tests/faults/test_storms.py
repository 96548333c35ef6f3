"""A hosted API that refuses everybody: rows 15 and 16 of the fault matrix, counted at the API.

Nobody is asked much more often than clients ask, an API that keeps failing is left alone and tried by one request at
a time, and its recovery is no second storm. In `make test` the storms are seconds long.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.doubles.stand_in_process import StandInProcess
from tests.faults.asking import Client, Seen, eventually, settled
from tests.faults.load import peak_per_s, steady
from tests.faults.processes import Behind, LoneGateway, engine_model, engines, hosted_model, lone_gateway
from tests.faults.stage import PATIENT
from tests.figures import Figure

PER_S = 20.0
AMPLIFICATION = 1.2
RETRY_AFTER_CAP_S = 120
OPEN, HALF_OPEN, CLOSED = 2.0, 1.0, 0.0
BROKEN = {"status": 500, "delay_head_s": 0.3}
"""Slow enough that a lone probe can be seen."""
PAUSES_S = (1, 60, 3600)
API, FALLBACK = "api", "local"


@dataclass(frozen=True, slots=True)
class Storm:
    """A hosted API, a model of ours above it, and the gateway in front of both."""

    gateway: LoneGateway
    api: StandInProcess
    local: StandInProcess

    def hits(self) -> list[float]:
        """When clients' requests reached the API, seconds since the epoch."""
        return [at for request_id, at in self.api.requests() if request_id != "readiness-probe"]

    def attempts(self) -> int:
        """Clients' requests that reached anybody."""
        ours = [one for one in self.local.requests() if one[0] != "readiness-probe"]
        return len(self.hits()) + len(ours)


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Storm]:
    """Everybody healthy and proven, every setting of retries and breakers at its default."""
    with ExitStack() as stack:
        (api,) = stack.enter_context(engines(1))
        (local,) = stack.enter_context(engines(1))
        models = [hosted_model(API, "small", api.url, **PATIENT), engine_model(FALLBACK, "large", **PATIENT)]
        gateway = stack.enter_context(lone_gateway(tmp_path, Behind(models, {FALLBACK: [local.url]})))
        storm = Storm(gateway, api.stand_in, local.stand_in)
        assert wait_passed(gateway)
        yield storm


def wait_passed(gateway: LoneGateway) -> bool:
    """Until both have proven themselves."""
    end = time.monotonic() + 30
    while gateway.metric("millrace_probes_total", outcome="passed") < 2:
        assert time.monotonic() < end, "nobody is ready"
        time.sleep(0.05)
    return True


@pytest.mark.row(16)
@pytest.mark.parametrize(
    ("model", "good_s", "bad_s"),
    [
        pytest.param("auto", 2, 6, id="6 s, with a fallback"),
        pytest.param("auto", 8, 30, id="30 s, with a fallback", marks=pytest.mark.faults),
        pytest.param(API, 8, 30, id="30 s, without one", marks=pytest.mark.faults),
    ],
)
async def test_seconds_of_500(
    storm: Storm, session: aiohttp.ClientSession, good_s: float, bad_s: float, model: str, figure: Figure
) -> None:
    client = Client(session, storm.gateway.url, storm.gateway.key)
    states: set[float] = set()
    async with steady(client, PER_S, lambda number: {"model": model, "stream": number % 2 == 0}) as load:
        await asyncio.sleep(good_s)
        storm.api.script(default=BROKEN)
        began, before = time.monotonic(), storm.attempts()
        broke_at = time.time()
        states |= await watched(storm, bad_s)
        storm.api.script(default={})
        mended, mended_at, asked_bad = time.monotonic(), time.time(), len(load.asked_at)
        bad_attempts = storm.attempts() - before
        await eventually(lambda: state(storm) == CLOSED, "the breaker to close", within_s=60)
        closed_s = time.monotonic() - mended
        await asyncio.sleep(good_s)
    asked_bad -= sum(at < began for at in load.asked_at)
    lines = await settled(storm.gateway, load.answers)
    check_answers(load.answers, fallback=model == "auto")
    assert {OPEN, HALF_OPEN} <= states
    assert any(a["outcome"] == "breaker_open" for line in lines.values() for a in line["attempts"])
    storm_hits = [at for at in storm.hits() if broke_at < at < mended_at]
    what = f"{bad_s:g} s of 500 at {PER_S:g}/s, {'with' if model == 'auto' else 'without'} a fallback"
    figure(f"{what}: attempts per request, whole run", storm.attempts() / len(load.answers), "", AMPLIFICATION)
    figure(f"{what}: attempts per request, during it", bad_attempts / asked_bad, "", AMPLIFICATION)
    figure(f"{what}: requests that reached the API meanwhile", len(storm_hits), "", asked_bad * 0.2)
    after = sorted(at for at in storm.hits() if at >= mended_at)
    figure(f"{what}: busiest second at the API after it, per offered", peak_per_s(after) / PER_S, "", 1.5)
    figure(f"{what}: breaker closed after the recovery", closed_s, "s", 60)
    bad = [seen for seen in load.answers if not seen.good]
    if model == "auto":
        figure(f"{what}: requests that failed", len(bad), "", 0)


async def watched(storm: Storm, seconds: float) -> set[float]:
    """The states of the API's breaker that are seen in that time."""
    states, end = set[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        states.add(await asyncio.to_thread(state, storm))
        await asyncio.sleep(0.05)
    return states


def state(storm: Storm) -> float:
    """Of the API's breaker."""
    return storm.gateway.metric("millrace_breaker_state", model=API)


def check_answers(answers: list[Seen], *, fallback: bool) -> None:
    """Good, or refused with a pause that clients keep to."""
    for seen in answers:
        assert not seen.lies, str(seen)
        if not seen.good:
            assert seen.status in (429, 503), str(seen)
            assert 0 < int(seen.headers["retry-after"]) <= RETRY_AFTER_CAP_S
            assert not fallback, str(seen)


@pytest.mark.row(15)
@pytest.mark.parametrize(
    ("seconds", "model", "pause_s"),
    [
        (3, "auto", 1),
        (3, API, 60),
        *(
            pytest.param(15, model, pause_s, marks=pytest.mark.faults)
            for model in ("auto", API)
            for pause_s in PAUSES_S
        ),
    ],
)
async def test_a_storm_of_429(
    storm: Storm, session: aiohttp.ClientSession, seconds: float, model: str, pause_s: int, figure: Figure
) -> None:
    client = Client(session, storm.gateway.url, storm.gateway.key)
    storm.api.script(default={"status": 429, "retry_after": str(pause_s)})
    async with steady(client, PER_S, lambda number: {"model": model, "stream": number % 2 == 0}) as load:
        await asyncio.sleep(seconds)
    await settled(storm.gateway, load.answers)
    check_answers(load.answers, fallback=model == "auto")
    if pause_s > seconds:
        assert storm.hits(), "nobody asked it"
        asked_in_pause = [at for at in storm.hits() if at > storm.hits()[0] + 1.0]
        assert not asked_in_pause, "it was asked before the pause it wanted was over"
    what = f"429 with Retry-After {pause_s} for {seconds:g} s, {'with' if model == 'auto' else 'without'} a fallback"
    figure(f"{what}: attempts per request", storm.attempts() / len(load.answers), "", AMPLIFICATION)
    figure(f"{what}: requests that reached the API, of {len(load.answers)}", len(storm.hits()))
