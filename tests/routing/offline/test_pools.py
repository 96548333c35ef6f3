"""Policies over priced models: hulls chosen on other folds, areas, cost at a share of the best."""

import math

import numpy as np
import pytest

from routing.offline.metrics import Points
from routing.offline.pools import chosen_by, measure_pool, mixes_for, random_pool, single_models, split_by
from routing.offline.splits import k_folds
from tests.routing.offline.outcome_rows import MODELS, PRICES, outcome_rows

ROWS = outcome_rows(400)
SCORES = np.array([[row.outcomes[model].score for model in MODELS] for row in ROWS])
COSTS = np.tile(list(PRICES.values()), (len(ROWS), 1))
SINGLES = single_models(SCORES, COSTS)
FOLDS = k_folds(len(ROWS), seed=1)


def test_single_models_cost_and_score_what_they_do() -> None:
    points = SINGLES.points(np.arange(len(ROWS)))
    assert points.cost.tolist() == pytest.approx(list(PRICES.values()))
    assert points.quality.tolist() == pytest.approx(SCORES.mean(axis=0).tolist())


def test_two_models_at_random_have_half_the_area() -> None:
    pair = single_models(SCORES[:, [0, 2]], COSTS[:, [0, 2]])
    found = measure_pool("linear", pair, pair, FOLDS, resamples=20)
    assert found.area.value == pytest.approx(0.5, abs=1e-6)
    assert found.plain_area == pytest.approx(0.5)
    assert [at.asked for at in found.cost_at] == [0.95, 0.98, 0.99]


def test_the_oracle_beats_single_models_at_a_tenth_of_the_cost() -> None:
    linear = measure_pool("linear", SINGLES, SINGLES, FOLDS, resamples=50)
    oracle = measure_pool("oracle", chosen_by(SCORES, COSTS, SCORES, COSTS), SINGLES, FOLDS, resamples=50)
    assert oracle.area.low > linear.area.high
    assert oracle.cost_at[-1].cost < 0.5 < linear.cost_at[-1].cost
    assert oracle.cost_at[-1].quality == pytest.approx(0.99, abs=0.02)
    assert oracle.area.value <= oracle.plain_area + 1e-9


def test_intervals_are_optional() -> None:
    assert math.isnan(measure_pool("linear", SINGLES, SINGLES, FOLDS, resamples=0).area.low)


def test_a_greater_price_of_money_never_buys_dearer_answers() -> None:
    predicted = np.tile([0.5, 0.7, 0.9], (len(ROWS), 1)) + np.random.default_rng(0).normal(0, 0.2, SCORES.shape)
    mean_cost = chosen_by(predicted, COSTS.mean(axis=0), SCORES, COSTS).cost.mean(axis=1)
    assert (np.diff(mean_cost) <= 1e-15).all()
    assert mean_cost[-1] == pytest.approx(PRICES["small"])


def test_a_threshold_sends_what_needs_it_to_the_better_one() -> None:
    found = split_by(np.array([1.0, 2.0, 3.0]), np.array([2.0]), SCORES[:3], COSTS[:3])
    assert found.cost.shape == (3, 3)  # one threshold, three pairs of models
    assert found.cost[0].tolist() == [PRICES["small"], PRICES["middle"], PRICES["middle"]]


def test_a_mix_keeps_its_budget() -> None:
    known = Points(np.array([1.0, 3.0, 2.0]), np.array([0.5, 0.9, 0.4]))
    mixes = mixes_for(known, np.array([2.0, 0.1, 9.0, 3.0]))
    assert mixes.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]


def test_no_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="no gap to trade"):
        measure_pool("r", SINGLES, single_models(SCORES[:, ::-1], COSTS[:, ::-1]), FOLDS)


def test_random_is_the_mean_of_its_draws() -> None:
    draws = [measure_pool("random", SINGLES, SINGLES, k_folds(len(ROWS), seed=at), resamples=0) for at in range(4)]
    found = random_pool(draws)
    assert found.area.value == pytest.approx(np.mean([draw.area.value for draw in draws]))
    assert found.area.low <= found.area.value <= found.area.high
    assert found.cost_at[0].asked == 0.95
