"""Places nobody answers at: rows 17 and 23 of the fault matrix. No timeout is added to another."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import aiohttp
import pytest

from tests.doubles.certificate import self_signed
from tests.faults.asking import Client, settled
from tests.faults.processes import Behind, LoneGateway, engine_model, engines, free_ports, hosted_model, lone_gateway
from tests.faults.stage import PATIENT
from tests.figures import Figure

DEADLINE_S = 1.5
PLACES = ("engine-refused", "hosted-refused", "hosted-unknown-name", "hosted-untrusted")
SILENT = ("engine-silent", "hosted-silent")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneGateway]:
    """In front of every kind of nobody, and one who answers."""
    folder = tmp_path_factory.mktemp("unreachable")
    certificate, key = self_signed(folder)
    (refused,) = free_ports(1)
    with ExitStack() as stack:
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(512)  # the kernel accepts, and nobody ever reads
        (good,) = stack.enter_context(engines(1))
        tls = ["--tls-cert", str(certificate), "--tls-key", str(key)]
        (untrusted,) = stack.enter_context(engines(1, options=tls))
        nowhere, deaf = f"http://127.0.0.1:{refused}", f"http://127.0.0.1:{silent.getsockname()[1]}"
        models = [
            engine_model("engine-refused", "small"),
            engine_model("engine-silent", "small"),
            hosted_model("hosted-refused", "small", nowhere),
            hosted_model("hosted-silent", "small", deaf),
            hosted_model("hosted-unknown-name", "small", "http://nobody.invalid"),
            hosted_model("hosted-untrusted", "small", untrusted.url.replace("http:", "https:")),
            engine_model("second", "large", **PATIENT),
            engine_model("second-silent", "large"),
        ]
        replicas = {
            "engine-refused": [nowhere], "engine-silent": [deaf], "second": [good.url], "second-silent": [deaf],
        }  # fmt: skip
        behind = Behind(models, replicas)
        with lone_gateway(folder / "gateway", behind, probe_interval_s=3600) as running:
            yield running


@pytest.fixture
def client(gateway: LoneGateway, session: aiohttp.ClientSession) -> Client:
    """Of this gateway."""
    return Client(session, gateway.url, gateway.key)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(
    "place", [pytest.param(name, marks=pytest.mark.row(23 if name in PLACES else 17)) for name in PLACES + SILENT]
)
async def test_somebody_else_answers(gateway: LoneGateway, client: Client, place: str, stream: bool) -> None:
    seen = await client.ask(stream=stream, routing={"allow": [place, "second"]})
    assert seen.good, str(seen)
    lines = await settled(gateway, [seen])
    assert lines[seen.request_id]["attempts"][-1]["model"] == "second"


@pytest.mark.row(23)
@pytest.mark.parametrize("place", PLACES)
async def test_nobody_else_may_and_it_says_so(gateway: LoneGateway, client: Client, place: str) -> None:
    seen = await client.ask(model=place)
    assert (seen.status, seen.error["code"]) == (503, "upstream_refused")
    assert 0 < int(seen.headers["retry-after"]) <= 120
    await settled(gateway, [seen])


@pytest.mark.row(17)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_everybody_silent_ends_at_the_requests_own_deadline(
    gateway: LoneGateway, client: Client, stream: bool, figure: Figure
) -> None:
    seen = await client.ask(
        stream=stream,
        routing={"allow": ["hosted-silent", "second-silent"]},
        headers={"x-millrace-timeout-s": str(DEADLINE_S)},
    )
    assert (seen.status, seen.error["code"]) == (504, "upstream_timeout")
    await settled(gateway, [seen])
    mode = "stream" if stream else "unary"
    figure(f"two silent upstreams, deadline {DEADLINE_S:g} s: answered after ({mode})", seen.took_s, "s", 2.5)
