"""What a request cost: the accepted attempt by its price, the failed ones by the time they took."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.cascade import Attempt, Reason
from serving.governance.ledger import cost_usd
from serving.record import Tried, Usage
from tests.serving.world import engine_spec, hosted_spec

MODELS = {spec.name: spec for spec in (engine_spec("small"), hosted_spec())}


def tried(model: str, busy_s: float) -> Tried:
    return Tried(Attempt(model, model, Reason.SCORE), "r", "ok", busy_s)


def test_nothing_tried_costs_nothing() -> None:
    assert cost_usd(MODELS, [], Usage(100, 0, 100)) == 0.0


def test_our_own_models_cost_time() -> None:
    assert cost_usd(MODELS, [tried("small", 2.0)], Usage(100, 0, 100)) == pytest.approx(0.002)


def test_hosted_models_cost_tokens_and_cached_ones_less() -> None:
    assert cost_usd(MODELS, [tried("cloud", 2.0)], Usage(10, 4, 3)) == pytest.approx(6 * 1.0 + 4 * 0.5 + 3 * 2.0)


def test_failed_attempts_cost_their_time_and_no_tokens() -> None:
    attempts = [tried("small", 1.0), tried("cloud", 9.0), tried("small", 3.0)]
    assert cost_usd(MODELS, attempts, Usage(10, 0, 10)) == pytest.approx(0.004)


counts = st.integers(0, 10**6)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(MODELS)), st.floats(0, 1e3)), max_size=4),
    st.tuples(counts, counts, counts),
)
def test_cost_is_never_negative(attempts: list[tuple[str, float]], usage: tuple[int, int, int]) -> None:
    assert cost_usd(MODELS, [tried(*one) for one in attempts], Usage(*usage)) >= 0.0
