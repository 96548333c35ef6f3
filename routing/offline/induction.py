"""Fits a cascade over two or three tiers by backward induction from recorded outcomes, and runs it over others.

From the deepest state back: what a state is worth at each knot of λ is computed for rows that its parts were not fitted
on (inner folds), then predicted from the state before. Never sees a row's task. Source: docs/routing.md "Optimiser".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from routing.induction import Answered, Induction, StateModel, state_features, state_names
from routing.offline.boosting import curves_of, fit_curves, fit_trees, values_of
from routing.offline.linear import Sparse, fit_logistic_sparse, sigmoid
from routing.offline.metrics import Floats
from routing.offline.outcomes import OutcomesError, Row
from routing.offline.pools import LAMBDAS, Policies
from routing.offline.splits import Indices, Split, k_folds
from routing.prior import BUCKETS, SURFACE, PromptFeatures, prompt_features
from routing.trees import Curves, Trees

KNOTS = (0.0, *np.geomspace(0.002, 2.0, 13).tolist())
"""λ times the last tier's cost, in score: beyond 2 no answer is worth it."""
INNER_FOLDS = 4
LEAST_PRICE = 0.05
"""Of the mean: no prompt is expected to cost less."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Of the fit. The best of about ten tried on five folds of the rows of `mzelling-llama` that it is reported for."""

    prior_l2: float = 0.5
    rounds: int = 60
    rate: float = 0.08
    leaves: int = 6
    onward_rounds: int = 40
    onward_rate: float = 0.15
    min_rows: int = 40
    seed: int = 0


STANDARD = FitSettings()


@dataclass(frozen=True, slots=True)
class Recorded:
    """Outcomes as arrays: what a fit reads of its rows."""

    prompts: list[PromptFeatures]
    answered: list[list[Answered]]
    """Per row, one per tier."""
    scores: Floats
    """(rows, tiers)."""
    costs: Floats
    """(rows, tiers), USD."""

    @classmethod
    def of(cls, rows: Sequence[Row], models: Sequence[str], costs: Floats) -> "Recorded":
        """Raises `OutcomesError` for an answer that is not there; without a confidence it counts as 0.5."""
        answered = [[_answered(row, tier, model) for tier, model in enumerate(models)] for row in rows]
        scores = np.array([[row.outcomes[model].score for model in models] for row in rows])
        return cls([prompt_features(row.prompt) for row in rows], answered, scores, costs)


def _answered(row: Row, tier: int, model: str) -> Answered:
    outcome = row.outcomes[model]
    if outcome.answer is None:
        raise OutcomesError(f"{row.id}: outcomes.{model}.answer is missing; a cascade judges answers")
    confidence = 0.5 if outcome.confidence is None else outcome.confidence
    return Answered(tier, confidence, outcome.completion_tokens or 0, outcome.answer)


def after_prompt(recorded: Recorded) -> dict[str, Floats]:
    """What each state adds to the prompt's features, (rows, …)."""
    names = state_names(recorded.scores.shape[1])
    return {
        name: np.array([state_features((), [row[int(tier)] for tier in name]) for row in recorded.answered])
        for name in names
    }


def prompt_part(logits: Floats, prompts: Sequence[PromptFeatures]) -> Floats:
    """(rows, …): the prior's logits, their differences, and the surface of the prompt."""
    tiers = logits.shape[1]
    gains = [logits[:, high] - logits[:, low] for low in range(tiers) for high in range(low + 1, tiers)]
    return np.column_stack([logits, *gains, np.array([prompt.surface for prompt in prompts])])


def sparse_prompts(prompts: Sequence[PromptFeatures]) -> Sparse:
    """Hash buckets, each 1 over the root of how many there are, then the surface: as `TierPrior.logit` reads them."""
    columns = [[*prompt.buckets, *range(BUCKETS, BUCKETS + len(SURFACE))] for prompt in prompts]
    data = [[max(1, len(p.buckets)) ** -0.5] * len(p.buckets) + [*p.surface] for p in prompts]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
    return Sparse(starts, np.concatenate(columns), np.concatenate(data), BUCKETS + len(SURFACE))


def prior_logits(rows: Sparse, scores: Floats, train: Indices, l2: float) -> Floats:
    """(all rows, tiers): log-odds by priors fitted on `train`."""
    found = []
    for score in scores.T:
        weights, bias = fit_logistic_sparse(rows.take(train), score[train], l2=l2)
        found.append(rows.times(weights) + bias)
    return np.column_stack(found)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A cascade and what it saw: enough to run it over rows as the runtime would."""

    cascade: Induction
    states: dict[str, Floats]
    """(all rows, features) per state, the prior fitted on the training rows."""
    prices: Floats
    """(all rows, tiers): costs expected before an answer, USD."""


def fit_cascade(
    recorded: Recorded,
    tiers: Sequence[str],
    train: Indices,
    *,
    settings: FitSettings = STANDARD,
) -> Fitted:
    """Fitted on the rows `train` of `recorded` alone; its states and prices are those of all rows."""
    sparse, after = sparse_prompts(recorded.prompts), after_prompt(recorded)
    folds = [
        Split(train[part.train], train[part.test]) for part in k_folds(len(train), INNER_FOLDS, seed=settings.seed)
    ]
    logits = prior_logits(sparse, recorded.scores, train, settings.prior_l2)
    apart = logits.copy()
    for part in folds:
        apart[part.test] = prior_logits(sparse, recorded.scores, part.train, settings.prior_l2)[part.test]
    learned = {name: np.hstack([prompt_part(apart, recorded.prompts), rest]) for name, rest in after.items()}
    right, unseen = _fit_right(learned, recorded.scores, train, folds, settings)
    mean = recorded.costs[train].mean(axis=0)
    ratios = tuple((mean / mean[-1]).tolist())
    onward = _fit_onward(learned, unseen, ratios, train, settings)
    models = {name: StateModel(right[name], onward[name]) for name in after}
    states = {name: np.hstack([prompt_part(logits, recorded.prompts), rest]) for name, rest in after.items()}
    return Fitted(Induction(tuple(tiers), KNOTS, ratios, models), states, _prices(recorded, train, settings))


def _prices(recorded: Recorded, train: Indices, settings: FitSettings) -> Floats:
    """Costs as the prompt lets expect them: an answer's length is not known before."""
    surface = np.array([prompt.surface for prompt in recorded.prompts])
    mean = recorded.costs[train].mean(axis=0)
    found = []
    for cost, scale in zip(recorded.costs.T, mean, strict=True):
        trees = fit_trees(
            surface[train],
            cost[train] / scale,
            loss="squared",
            rounds=40,
            leaves=8,
            rate=0.15,
            min_rows=settings.min_rows,
        )
        found.append(np.maximum(values_of(trees, surface), LEAST_PRICE) * scale)
    return np.column_stack(found)


def _fit_right(
    learned: Mapping[str, Floats], scores: Floats, train: Indices, folds: Sequence[Split], settings: FitSettings
) -> tuple[dict[str, dict[int, Trees]], dict[str, Floats]]:
    """Per state and tier the trees for "its answer is right", and (all rows, tiers) probabilities by inner folds.

    Only of tiers in hand, of those that may follow, and by inner folds of the last one: all else is NaN.
    """
    right: dict[str, dict[int, Trees]] = {}
    unseen: dict[str, Floats] = {}
    tiers = range(scores.shape[1])
    for name, x in learned.items():
        held, above = [int(tier) for tier in name], range(int(name[-1:] or -1) + 1, len(tiers))
        right[name] = {tier: _right(x, scores[:, tier], train, settings) for tier in (*held, *above)}
        unseen[name] = np.full(scores.shape, np.nan)
        for tier in (*held, tiers[-1]):
            for part in folds:
                trees = _right(x, scores[:, tier], part.train, settings)
                unseen[name][part.test, tier] = sigmoid(values_of(trees, x[part.test]))
    return right, unseen


def _right(x: Floats, score: Floats, rows: Indices, settings: FitSettings) -> Trees:
    return fit_trees(
        x[rows],
        score[rows],
        loss="log",
        rounds=settings.rounds,
        leaves=settings.leaves,
        rate=settings.rate,
        min_rows=settings.min_rows,
    )


def _fit_onward(
    learned: Mapping[str, Floats],
    unseen: Mapping[str, Floats],
    ratios: Sequence[float],
    train: Indices,
    settings: FitSettings,
) -> dict[str, dict[int, Curves]]:
    """Per state and next tier what the state after it is worth, from the deepest state back."""
    knots, last = np.array(KNOTS), len(ratios) - 1
    onward: dict[str, dict[int, Curves]] = {}
    worth: dict[str, Floats] = {}
    for name in sorted(learned, key=len, reverse=True):
        x, p = learned[name][train], unseen[name][train]
        options = [p[:, [last]] - knots * ratios[last]]
        options += [p[:, [int(tier)]] + 0 * knots for tier in name]
        onward[name] = {}
        for tier in range(int(name[-1:] or -1) + 1, last):
            onward[name][tier] = fit_curves(
                x,
                worth[f"{name}{tier}"],
                rounds=settings.onward_rounds,
                leaves=settings.leaves,
                rate=settings.onward_rate,
                min_rows=settings.min_rows,
            )
            options.append(curves_of(onward[name][tier], x) - knots * ratios[tier])
        worth[name] = np.max(options, axis=0)
    return onward


class Runs:
    """What the runtime would do over rows, for any λ, in arrays: `routing.induction.choose` for all rows at once."""

    def __init__(self, fitted: Fitted, recorded: Recorded, rows: Indices) -> None:
        self._cascade, self._prices = fitted.cascade, fitted.prices[rows]
        self._scores, self._costs = recorded.scores[rows], recorded.costs[rows]
        self._right: dict[str, dict[int, Floats]] = {}
        self._onward: dict[str, dict[int, Floats]] = {}
        for name, model in fitted.cascade.states.items():
            x = fitted.states[name][rows]
            self._right[name] = {tier: sigmoid(values_of(trees, x)) for tier, trees in model.right.items()}
            self._onward[name] = {
                tier: np.minimum.accumulate(curves_of(curves, x), axis=1) for tier, curves in model.onward.items()
            }

    def at(self, score_per_usd: float) -> tuple[Floats, Floats]:
        """(rows,) cost in USD and score of what is delivered."""
        return self._from("", score_per_usd)

    def route(self, score_per_usd: float) -> tuple[Floats, Floats]:
        """The same by the prior alone: one tier, chosen before anything ran."""
        p = np.column_stack([self._right[""][tier] for tier in range(self._prices.shape[1])])
        pick = np.argmax(p - score_per_usd * self._prices, axis=1)
        every = np.arange(len(pick))
        return self._costs[every, pick], self._scores[every, pick]

    def step(self, threshold: float) -> tuple[Floats, Floats]:
        """A threshold cascade through all tiers: on while the calibrated confidence is below `threshold`."""
        last = self._prices.shape[1] - 1
        cost, score = self._costs[:, 0].copy(), self._scores[:, 0].copy()
        on, name = np.full(len(cost), True), ""
        for tier in range(last):
            name += str(tier)
            on = on & (self._right[name][tier] < threshold)
            cost[on] += self._costs[on, tier + 1]
            score[on] = self._scores[on, tier + 1]
        return cost, score

    def _from(self, name: str, score_per_usd: float) -> tuple[Floats, Floats]:
        """Cost and score from this state on, of every row as if it were there."""
        last, held = self._prices.shape[1] - 1, [int(tier) for tier in name]
        values = [self._right[name][tier] for tier in held]
        ends = [(np.zeros(len(self._prices)), self._scores[:, tier]) for tier in held]
        for tier in range(held[-1] + 1 if held else 0, last + 1):
            price = score_per_usd * self._prices[:, tier]
            if tier == last:
                values.append(self._right[name][tier] - price)
                ends.append((self._costs[:, tier], self._scores[:, tier]))
            else:
                values.append(self._onward_at(name, tier, score_per_usd) - price)
                cost, score = self._from(f"{name}{tier}", score_per_usd)
                ends.append((self._costs[:, tier] + cost, score))
        pick, every = np.argmax(values, axis=0), np.arange(len(self._prices))
        return np.array([end[0] for end in ends])[pick, every], np.array([end[1] for end in ends])[pick, every]

    def _onward_at(self, name: str, tier: int, score_per_usd: float) -> Floats:
        """As `falling_at` has it."""
        knots, curves = np.array(self._cascade.knots), self._onward[name][tier]
        at = score_per_usd * self._prices[:, tier + 1 :].sum(axis=1) / sum(self._cascade.ratios[tier + 1 :])
        place = np.minimum(np.searchsorted(knots, at, side="right"), len(knots) - 1)
        every = np.arange(len(at))
        low, high = curves[every, place - 1], curves[every, place]
        share = np.minimum((at - knots[place - 1]) / (knots[place] - knots[place - 1]), 1.0)
        return np.asarray(low + (high - low) * share, dtype=np.float64)


THRESHOLDS = tuple(np.linspace(0.0, 1.0, 101).tolist())
FAMILIES = ("router", "cascade", "cascade routing")


def cascade_policies(
    recorded: Recorded, tiers: Sequence[str], splits: Sequence[Split], *, settings: FitSettings = STANDARD
) -> dict[str, Policies]:
    """Policies of the prior alone, of calibrated thresholds and of both, by family, on rows they were not fitted on.

    Every row must be in one test part.
    """
    rows, span = len(recorded.scores), recorded.costs.mean(axis=0)
    lambdas = LAMBDAS / float(span[-1] - span[0])
    sizes = dict(zip(FAMILIES, (len(lambdas), len(THRESHOLDS), len(lambdas)), strict=True))
    found = {name: Policies(np.zeros((size, rows)), np.zeros((size, rows))) for name, size in sizes.items()}
    for split in splits:
        runs = Runs(fit_cascade(recorded, tiers, split.train, settings=settings), recorded, split.test)
        ends = (
            [runs.route(weight) for weight in lambdas],
            [runs.step(threshold) for threshold in THRESHOLDS],
            [runs.at(weight) for weight in lambdas],
        )
        for name, family in zip(FAMILIES, ends, strict=True):
            found[name].cost[:, split.test] = [cost for cost, _ in family]
            found[name].quality[:, split.test] = [score for _, score in family]
    return found
