"""Row 28: whatever a client sends, it gets an answer, and a 5xx is none: valid bodies changed a little, and raw bytes.

A small form in front of stand-ins runs in `make test`; `make faults` asks the live cluster's real vLLM, too.
"""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster.live import LiveCluster
from tests.faults.bodies import Asked, almost_valid, raw_bytes
from tests.faults.fuzzing import Fuzzer, behind_a_fuzz
from tests.faults.processes import LoneGateway, engines, lone_gateway
from tests.figures import Figure

pytestmark = pytest.mark.row("28")

BATCH = 8
"""Requests sent at once."""
GENERATING = ("chat", "completions", "responses", "messages", "tokenize")
POOLING = ("embeddings", "rerank", "score")


def models(generating: Sequence[str], pooling: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Whom to ask, by operation."""
    return dict.fromkeys(GENERATING, generating) | dict.fromkeys(POOLING, pooling)


def fuzz(fuzzer: Fuzzer, drawn: st.SearchStrategy[Asked], requests: int) -> None:
    """Send `requests` of what is drawn, the same ones every time."""

    @settings(
        max_examples=requests // BATCH,
        phases=[Phase.generate],
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(drawn, min_size=BATCH, max_size=BATCH))
    def send(batch: list[Asked]) -> None:
        fuzzer.send(batch)

    send()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneGateway]:
    """A gateway in front of stand-ins: one plays an engine, one a hosted API."""
    with engines(1) as (engine,), lone_gateway(tmp_path_factory.mktemp("fuzz"), behind_a_fuzz(engine.url)) as running:
        yield running


WHOLE = pytest.mark.faults


@pytest.mark.parametrize("requests", [pytest.param(400, id="some"), pytest.param(2000, id="many", marks=WHOLE)])
def test_no_body_is_answered_with_a_5xx(gateway: LoneGateway, requests: int, figure: Figure) -> None:
    asked = models(("small", "cloud", "auto"), ("embed",))
    with Fuzzer(gateway.url, gateway.key) as fuzzer:
        fuzz(fuzzer, almost_valid(asked) | raw_bytes(), requests)
    report(fuzzer, figure, "stand-ins")


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_no_body_is_answered_with_a_5xx_by_real_engines(live: LiveCluster, figure: Figure) -> None:
    asked = models(("abacus-small", "abacus-large"), ("abacus-embed",))
    with Fuzzer(live.url, live.key) as fuzzer:
        fuzz(fuzzer, almost_valid(asked), 4000)
    report(fuzzer, figure, "real engines")


def report(fuzzer: Fuzzer, figure: Figure, behind: str) -> None:
    """Record what was counted. Everything that went wrong is shown."""
    tally = fuzzer.tally
    figure(f"5xx in {tally.requests} fuzzed requests, {behind}", tally.server_errors, bar=0)
    figure(f"hangs in {tally.requests} fuzzed requests, {behind}", tally.hangs, bar=0)
    assert len(tally.by_path) == 9
    assert tally.statuses[200] > tally.requests / 20, tally.statuses
    assert tally.wrong == [], "\n".join([str(tally.statuses), *tally.wrong])
