"""Answers that are well-formed and wrong: rows 19 and 21 of the fault matrix. No count below nothing, no memory
eaten.
"""

import pytest

from tests.faults.asking import LONG, PROTOCOLS, Client, settled
from tests.faults.endings import Ending
from tests.faults.stage import ROLES, Stage
from tests.figures import Figure

MIB = 1 << 20
HUGE_BYTES = 100 * MIB
GROWTH_MIB = 200
"""What a 100 MB answer may add to the gateway's memory: its own limit of 64 MiB, in pieces and joined."""
DRIP_GROWTH_MIB = 8


@pytest.mark.row(21)
@pytest.mark.parametrize("script", [{"negative_usage": True}, {"no_usage": True}], ids=["negative", "missing"])
@pytest.mark.parametrize("role", ROLES)
async def test_a_usage_nobody_can_believe(stage: Stage, client: Client, role: str, script: dict[str, object]) -> None:
    model = stage.fresh(role)
    asked = [
        {"protocol": protocol, "stream": stream, "script": script, "model": model}
        for protocol in PROTOCOLS
        for stream in (False, True)
    ]
    answers = await client.ask_all(asked)
    lines = await settled(stage.gateway, answers)
    for seen in answers:
        assert seen.good, str(seen)
        line = lines[seen.request_id]
        assert min(line["input_tokens"], line["output_tokens"], line["cost_usd"]) >= 0, line
        assert line["error"] is None


@pytest.mark.row(21)
@pytest.mark.parametrize("role", ROLES)
async def test_a_hundred_megabytes(stage: Stage, client: Client, role: str, figure: Figure) -> None:
    before = stage.gateway.resident_bytes()
    answers = [
        await client.ask(model=stage.fresh(role), stream=stream, script={"pad_bytes": HUGE_BYTES})
        for stream in (False, True)
    ]
    for seen in answers:
        assert (seen.status, seen.error["code"]) == (502, "upstream_invalid_response"), str(seen)
    await settled(stage.gateway, answers)
    grown = (stage.gateway.resident_bytes("VmHWM") - before) / MIB
    figure(f"memory of the gateway for an answer of 100 MB ({role})", grown, "MiB", GROWTH_MIB)


@pytest.mark.row(19)
async def test_dripping_costs_no_memory(stage: Stage, client: Client, figure: Figure) -> None:
    before = stage.gateway.resident_bytes()
    model = stage.fresh("engine")
    asked = [
        {"model": model, "script": {"drip_s": 0.05, "answer": LONG},
         "headers": {"x-millrace-timeout-s": "3"}}
        for _ in range(20)
    ]  # fmt: skip
    answers = await client.ask_all(asked)
    await settled(stage.gateway, answers)
    assert {seen.verdict.ending for seen in answers} == {Ending.FAILED}
    grown = max(0.0, (stage.gateway.resident_bytes() - before) / MIB)
    figure("memory of the gateway for 20 dripping streams", grown, "MiB", DRIP_GROWTH_MIB)
