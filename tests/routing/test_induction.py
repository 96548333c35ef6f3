"""The cascade's choice: what stop and go are worth, and what may never happen."""

from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.induction import (
    Answered,
    Choice,
    Induction,
    Offer,
    StateModel,
    choose,
    falling_at,
    prompt_state,
    state_features,
)
from routing.trees import LEAF, Curves, Trees

KNOTS = (0.0, 0.5, 2.0)
OFFERS = {0: Offer(1e-5, 2e-5, 1.0), 1: Offer(1e-4, 2e-4, 2.0), 2: Offer(1e-3, 2e-3, 4.0)}
SURE, UNSURE = Answered(0, 0.999, 1, "B"), Answered(0, 0.3, 1, "C")


def line(low: float, high: float, feature: int = 0, at: float = -3.0) -> Trees:
    """`low` where the feature is at most `at`."""
    return Trees(0.0, (0,), (feature, LEAF, LEAF), (at, low, high), (1, 0, 0), (2, 0, 0))


def level(*values: float) -> Curves:
    return Curves(Trees(0.0, (0,), (LEAF,), (0.0,), (0,), (0,)), (0.0,) * len(values), (values,))


def fitted() -> Induction:
    """A low feature 1, log(1 - confidence), means a sure answer of tier 0."""
    states = {
        "": StateModel(
            {0: line(0.2, 0.2), 1: line(1.0, 1.0), 2: line(3.0, 3.0)},
            {0: level(0.95, 0.9, 0.6), 1: level(0.95, 0.8, 0.7)},
        ),
        "0": StateModel({0: line(4.0, -1.0, 1), 1: line(1.0, 1.0), 2: line(3.0, 3.0)}, {1: level(0.94, 0.9, 0.95)}),
        "1": StateModel({0: line(0.0, 0.0), 1: line(3.5, 0.0, 1), 2: line(3.0, 3.0)}, {}),
        "01": StateModel({0: line(3.0, -1.0, 1), 1: line(2.0, 2.0), 2: line(3.0, 3.0)}, {}),
    }
    return Induction(("small", "medium", "large"), KNOTS, (0.01, 0.1, 1.0), states)


FITTED = fitted()


def decide(*answered: Answered, weight: float = 0.0, offers: dict[int, Offer] = OFFERS, **left: float) -> Choice:
    return choose(FITTED, [0.0], answered, offers, score_per_usd=weight, **left)


def test_money_that_does_not_matter_goes_on_from_an_unsure_answer_and_stops_at_a_sure_one() -> None:
    assert decide(UNSURE).run == 2
    assert decide(SURE) == Choice(None, 0, pytest.approx(0.982, abs=1e-3), decide(SURE).go)
    assert decide(SURE).deliver == 0


def test_a_price_on_money_starts_with_the_cheap_tier_and_skips_one() -> None:
    assert decide(weight=300.0).run == 0
    assert decide(UNSURE, weight=5.0).run == 2, "the middle tier is skipped"
    assert decide(UNSURE, weight=500.0).run == 1
    assert decide(UNSURE, weight=1e6).run is None


def test_the_best_answer_in_hand_is_delivered() -> None:
    choice = decide(Answered(1, 0.5, 1, "B"), SURE, weight=1e4)
    assert (choice.run, choice.deliver) == (None, 0)
    assert decide(Answered(1, 0.5, 1, "B"), UNSURE, weight=1e4).deliver == 1


def test_nothing_follows_the_last_tier() -> None:
    assert decide(UNSURE, Answered(2, 0.1, 1, "D")) == Choice(None, 2, None, {})


def test_no_offer_and_nothing_in_hand_is_no_route() -> None:
    assert decide(offers={}) == Choice(None, None, None, {})
    assert decide(left_usd=1e-6) == Choice(None, None, None, {})
    assert decide(UNSURE, offers={}).run is None
    assert decide(UNSURE, offers={}).deliver == 0


def test_the_dearest_offer_is_the_last_tier_there_is() -> None:
    choice = decide(UNSURE, offers={0: OFFERS[0], 1: OFFERS[1], 7: OFFERS[2]})
    assert list(choice.go) == [1]
    assert choice.go[1] == pytest.approx(0.731, abs=1e-3)


def test_curves_are_held_from_rising() -> None:
    assert [falling_at(KNOTS, [0.9, 0.5, 0.7], at) for at in (0.0, 0.25, 0.5, 1.0, 9.0)] == [0.9, 0.7, 0.5, 0.5, 0.5]


def test_a_prompt_adds_logits_gains_and_surface() -> None:
    assert prompt_state([1.0, 2.0, 4.0], [0.5]) == [1.0, 2.0, 4.0, 1.0, 3.0, 2.0, 0.5]


def test_features_of_answers_and_of_what_they_share() -> None:
    features = state_features([7.0], [Answered(0, 0.0, 3, "the cat"), Answered(1, 1.0, 2, "cat")])
    assert features[0] == 7.0
    assert features[3:6] == [3, 7, -1.0]
    assert features[-2:] == [1.0, 1.0]
    assert state_features([], [SURE])[-1] == 1.0
    assert all(abs(value) < inf for value in features)


@pytest.mark.parametrize(
    "change",
    [
        {"tiers": ("one",)},
        {"ratios": (1.0,)},
        {"knots": (0.0,)},
        {"knots": (0.1, 0.2)},
        {"knots": (0.0, 0.0)},
        {"states": {}},
    ],
)
def test_a_fit_that_does_not_hold_together_is_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="induction"):
        msgspec.structs.replace(FITTED, **change)


def test_a_fit_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FITTED), type=Induction) == FITTED


CONFIDENCE = st.floats(0.0, 1.0)
WEIGHT = st.floats(0.0, 1e5)
HANDS = st.sampled_from([(0,), (1,), (0, 1)])
USD = st.floats(0.0, 1e-2)


@given(HANDS, CONFIDENCE, WEIGHT, st.floats(1.0, 10.0), st.sampled_from([0, 1, 2]))
def test_a_stop_stays_one_when_lambda_or_a_price_rises(
    hand: tuple[int, ...], confidence: float, weight: float, factor: float, dearer: int
) -> None:
    answered = [Answered(tier, confidence, 1, "B") for tier in hand]
    before = decide(*answered, weight=weight)
    offers = OFFERS | {dearer: Offer(OFFERS[dearer].usd * factor)}
    for after in (decide(*answered, weight=weight * factor), decide(*answered, weight=weight, offers=offers)):
        assert all(after.go[tier] <= before.go[tier] + 1e-12 for tier in before.go)
        assert after.run is None or before.run is not None


@given(st.sets(st.sampled_from([0, 1, 2])), WEIGHT, USD, st.floats(0.0, 6.0), st.booleans())
def test_nothing_runs_outside_offers_budget_or_deadline(
    allowed: set[int], weight: float, left_usd: float, left_s: float, begun: bool
) -> None:
    offers = {tier: OFFERS[tier] for tier in allowed}
    choice = decide(*([UNSURE] if begun else []), weight=weight, offers=offers, left_usd=left_usd, left_s=left_s)
    if choice.run is not None:
        assert choice.run in allowed
        assert choice.run > (0 if begun else -1)
        assert offers[choice.run].worst_usd <= left_usd
        assert offers[choice.run].seconds <= left_s
