"""Learning from served answers alone: propensities that are true, and gains that are found."""

import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.features import SURFACE, Features, features
from routing.online import Choice, ExploreRules, GainLearner, Head, choose

EASY, HARD = features("what is two plus two"), features("prove the theorem of fermat")
SHARES = st.floats(0.05, 0.95)


@given(st.booleans(), st.floats(0, 1), SHARES, st.floats(0, 1, exclude_max=True))
def test_propensities_add_up(wants: bool, epsilon: float, share: float, chance: float) -> None:
    choice = choose(wants_strong=wants, epsilon=epsilon, strong_share=share, chance=chance)
    assert 0.0 < choice.propensity <= 1.0 + 1e-12
    assert choice.explored == (chance < epsilon)
    assert choice.strong == wants or choice.explored


@pytest.mark.parametrize("wants", [False, True])
def test_a_propensity_is_how_often_it_happens(wants: bool) -> None:
    steps = [choose(wants_strong=wants, epsilon=0.4, strong_share=0.3, chance=at / 1000) for at in range(1000)]
    strong = [choice for choice in steps if choice.strong]
    assert len(strong) / 1000 == pytest.approx(strong[0].propensity, abs=2e-3)
    weak = next(choice for choice in steps if not choice.strong)
    assert strong[0].propensity + weak.propensity == pytest.approx(1.0)


def test_exploration_decays_to_its_least() -> None:
    rules = ExploreRules(half=100.0, least=0.02)
    assert [rules.epsilon(n) for n in (0, 100, 400, 10_000_000)] == [1.0, 1.0, 0.5, 0.02]
    assert ExploreRules(half=0.0, least=0.0).epsilon(0) == 1.0


@pytest.mark.parametrize("bad", [{"half": -1.0}, {"least": 1.5}, {"strong_share": 0.0}, {"strong_share": 1.0}], ids=str)
def test_exploration_that_teaches_nothing_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="learnt"):
        ExploreRules(**bad)


@given(SHARES, st.floats(-1, 1))
def test_exploration_leans_against_a_spend_that_is_off(strong_share: float, error: float) -> None:
    rules = ExploreRules(strong_share=strong_share)
    assert rules.share(0.0) == strong_share
    assert (rules.share(error) - strong_share) * error <= 0.0
    assert strong_share / 2 <= rules.share(error) <= 1.0 - (1.0 - strong_share) / 2


def test_before_anything_is_learnt_there_is_no_gain() -> None:
    assert GainLearner(len(SURFACE)).gain(EASY) == 0.0


def test_the_average_of_all_weights_counts() -> None:
    """One gram and the bias, by hand: after two steps the weights are the mean of those after each of them."""
    one = Features((), (7,))
    head = Head(0, bits=4, rate=1.0)
    head.learn(one, 1.0, 1.0)
    first = (1 + 1 / 3) * 0.5
    assert head.probability(one) == pytest.approx(1 / (1 + exp(-first)))
    head.learn(one, 1.0, 1.0)
    second = first + (1 + 1 / 3) * (1 - 1 / (1 + exp(-first)))
    assert head.probability(one) == pytest.approx(1 / (1 + exp(-(first + second) / 2)))


def test_a_prompt_without_words_has_a_probability() -> None:
    head = Head(len(SURFACE))
    head.learn(features(""), 0.0, 1.0)
    assert head.probability(features("")) < 0.5


def test_the_gain_is_found_from_served_answers() -> None:
    """Weak is right on easy prompts alone, strong on both; only one answer is seen at a time."""
    chance = random.Random(5)
    learner, rules = GainLearner(len(SURFACE), bits=10), ExploreRules(half=50.0)
    for at in range(600):
        hard = chance.random() < 0.5
        prompt = HARD if hard else EASY
        choice = choose(
            wants_strong=learner.gain(prompt) > 0.3,
            epsilon=rules.epsilon(at),
            strong_share=0.5,
            chance=chance.random(),
        )
        learner.learn(prompt, choice, 1.0 if choice.strong else float(not hard))
    assert learner.gain(HARD) > 0.5 > 0.2 > learner.gain(EASY)


def test_rows_of_small_propensity_weigh_only_so_much() -> None:
    capped, even = GainLearner(0, bits=4, heaviest=2.0), GainLearner(0, bits=4)
    prompt = Features((), (1,))
    capped.learn(prompt, Choice(True, 0.001, True), 1.0)
    even.learn(prompt, Choice(True, 0.5, True), 1.0)
    assert capped.gain(prompt) == even.gain(prompt) > 0.0
