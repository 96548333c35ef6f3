"""A cascade fitted to synthetic tiers: better than its parts, and the same in arrays as at run time."""

from dataclasses import replace

import numpy as np
import pytest

from routing.induction import Offer, choose, prompt_state
from routing.offline.induction import (
    FAMILIES,
    STANDARD,
    Fitted,
    Recorded,
    Runs,
    cascade_policies,
    fit_cascade,
    prompt_part,
)
from routing.offline.operating import compare
from routing.offline.outcomes import Outcome, OutcomesError, Row
from routing.offline.pools import single_models
from routing.offline.splits import k_folds

TIERS = ("small", "medium", "large")
QUICK = replace(STANDARD, prior_l2=5.0, rounds=4, onward_rounds=4, rate=0.3, onward_rate=0.3, min_rows=15)
SKILL, PRICE = (0.55, 0.75, 0.9), (1e-5, 5e-5, 2e-4)
WORDS = ("river", "stone", "cloud", "tree", "light")


def rows(count: int = 240) -> list[Row]:
    """A tier is right more often where its word is in the prompt, and its confidence shows whether it is."""
    rng = np.random.default_rng(5)
    made = []
    for at in range(count):
        hard = bool(rng.random() < 0.5)
        words = " ".join(rng.choice(WORDS, 6))
        outcomes = {}
        for tier, skill, price in zip(TIERS, SKILL, PRICE, strict=True):
            right = bool(rng.random() < skill - 0.2 * hard)
            sure = float(np.clip(rng.normal(0.85 if right else 0.45, 0.12), 0.01, 0.99))
            answer = "B" if right else str(rng.choice(["A", "C", "D"]))
            outcomes[tier] = Outcome(float(right), price * (1 + 0.1 * hard), None, sure, 1, answer)
        made.append(Row(str(at), "made", "one", f"{'proof' if hard else 'name'} {words}?", outcomes))
    return made


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    made = rows()
    costs = np.array([[row.outcomes[tier].cost_usd or 0.0 for tier in TIERS] for row in made])
    return Recorded.of(made, TIERS, costs)


@pytest.fixture(scope="module")
def fitted(recorded: Recorded) -> Fitted:
    return fit_cascade(recorded, TIERS, np.arange(160), settings=QUICK)


@pytest.mark.parametrize("weight", [0.0, 300.0, 2000.0, 20000.0])
def test_arrays_do_what_the_runtime_chooses(recorded: Recorded, fitted: Fitted, weight: float) -> None:
    test = np.arange(160, 240)
    cost, score = Runs(fitted, recorded, test).at(weight)
    surface = len(fitted.states[""][0])
    for at, row in enumerate(test):
        prompt = fitted.states[""][row][:surface].tolist()
        offers = {tier: Offer(float(fitted.prices[row, tier])) for tier in range(3)}
        ran: list[int] = []
        while True:
            done = [recorded.answered[row][tier] for tier in ran]
            choice = choose(fitted.cascade, prompt, done, offers, score_per_usd=weight)
            if choice.run is None:
                break
            ran.append(choice.run)
        assert cost[at] == pytest.approx(recorded.costs[row, ran].sum())
        assert choice.deliver is not None
        assert score[at] == recorded.scores[row, choice.deliver]


def test_dearer_money_is_spent_less(recorded: Recorded, fitted: Fitted) -> None:
    runs = Runs(fitted, recorded, np.arange(160, 240))
    spent = [runs.at(weight)[0].mean() for weight in (0.0, 1000.0, 1e5)]
    assert spent[0] > spent[1] > spent[2]
    assert runs.route(1e6)[0] == pytest.approx(recorded.costs[160:, 0])
    assert runs.step(0.0)[0] == pytest.approx(recorded.costs[160:, 0])
    assert runs.step(1.0)[0] == pytest.approx(recorded.costs[160:].sum(axis=1))


def test_nothing_of_the_other_rows_enters_a_fit(recorded: Recorded, fitted: Fitted) -> None:
    scores, costs = recorded.scores.copy(), recorded.costs.copy()
    scores[160:], costs[160:] = 1 - scores[160:], 7.0
    again = fit_cascade(replace(recorded, scores=scores, costs=costs), TIERS, np.arange(160), settings=QUICK)
    assert again.cascade == fitted.cascade
    assert np.array_equal(again.prices, fitted.prices)


def test_two_tiers_have_two_states(recorded: Recorded) -> None:
    pair = Recorded(
        recorded.prompts, [row[:2] for row in recorded.answered], recorded.scores[:, :2], recorded.costs[:, :2]
    )
    assert {*fit_cascade(pair, TIERS[:2], np.arange(160), settings=QUICK).cascade.states} == {"", "0"}


def test_the_cascade_is_compared_with_its_parts_on_rows_it_has_not_seen(recorded: Recorded) -> None:
    folds = k_folds(240, 2, seed=1)
    families = cascade_policies(recorded, TIERS, folds, settings=QUICK)
    assert tuple(families) == FAMILIES
    singles = single_models(recorded.scores, recorded.costs)
    found = compare({"linear": singles, **families}, singles, folds, resamples=20)
    best = found.families["cascade routing"]
    assert best.fitted.low <= best.fitted.high
    assert best.plain.value >= found.families["linear"].plain.value
    plain, fitted_hull = found.differences["cascade routing", "router"]
    assert plain.value == pytest.approx(best.plain.value - found.families["router"].plain.value)
    assert fitted_hull.low <= fitted_hull.high
    assert [at.asked for at in best.cost_at] == [0.95, 0.98, 0.99, 0.995]
    assert np.isnan(compare(families, singles, folds, resamples=0).families["cascade"].plain.low)


def test_an_answer_is_needed_and_a_confidence_is_not() -> None:
    row = rows(1)[0]
    silent = {tier: Outcome(1.0, 1.0, answer="B") for tier in TIERS}
    known = Recorded.of([Row("1", "s", "t", "", silent)], TIERS, np.ones((1, 3)))
    assert [one.confidence for one in known.answered[0]] == [0.5, 0.5, 0.5]
    with pytest.raises(OutcomesError, match="answer is missing"):
        Recorded.of([Row("1", "s", "t", row.prompt, {"small": Outcome(1.0)})], ("small",), np.ones((1, 1)))


def test_the_prompt_part_is_logits_gains_and_surface(recorded: Recorded) -> None:
    part = prompt_part(np.array([[1.0, 2.0, 4.0]]), recorded.prompts[:1])
    assert part[0].tolist() == prompt_state([1.0, 2.0, 4.0], recorded.prompts[0].surface)
