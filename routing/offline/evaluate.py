"""Routers over recorded outcomes measured, with every baseline beside them. Rows in, results out.

Two models: APGR, CPT, AUROC; models with costs: cost-quality area and dollars. What is learned is learned from other
rows: five folds, or `labels` rows of three draws. Bad input is an `OutcomesError` that names field and fix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from routing.offline.baselines import lengths, random_needs, task_ids, task_means
from routing.offline.metrics import RESAMPLES, Floats
from routing.offline.outcomes import OutcomesError, Row, check_models, costs_of
from routing.offline.pairs import PairResult, baseline_parts, measure_pair, pooled, random_result
from routing.offline.pools import Policies, PoolResult, chosen_by, measure_pool, random_pool, single_models, split_by
from routing.offline.routers import pair_routers, pool_routers
from routing.offline.splits import Indices, Split, k_folds, label_draws

FOLDS = 5
_QUANTILES: Floats = np.linspace(0, 1, 11)


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model for everything."""

    name: str
    score: float
    """Mean score, in [0, 1]."""
    cost_usd: float | None
    """Mean cost of a request, USD; None where there is none."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What routers make of these rows."""

    rows: int
    protocol: str
    """What was learned from what."""
    models: tuple[ModelResult, ...]
    """Weak to strong."""
    pair: tuple[PairResult, ...]
    """Of two models; else empty."""
    random_sd: float
    """Of a random router's APGR; NaN unless there are two models."""
    pool: tuple[PoolResult, ...]
    """Of models with costs; else empty."""
    cascades: frozenset[str]
    """Routers that read the weak answer first, and so always pay for it."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    rows: Sequence[Row]
    models: Sequence[str]
    scores: Floats
    """(rows, models)."""
    labels: int | None
    seed: int
    resamples: int
    learned: bool


def evaluate(
    rows: Sequence[Row],
    models: Sequence[str],
    *,
    labels: int | None = None,
    priced: Mapping[str, float] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    learned: bool = True,
) -> Evaluation:
    """`models` from weak to strong; `labels`: rows to learn from; `priced`: USD per request where none is recorded;
    without `learned` only baselines are measured.

    Raises `OutcomesError`.
    """
    _check(rows, models, labels, priced or {})
    scores = np.array([[row.outcomes[model].score for model in models] for row in rows])
    costs = _costs(rows, models, priced or {})
    asked = _Asked(rows, models, scores, labels, seed, resamples, learned)
    pair, cascades, spread = _pair(asked) if len(models) == 2 else ((), frozenset[str](), float("nan"))
    pool = () if costs is None else _pool(asked, costs)
    means = scores.mean(axis=0)
    prices = [None] * len(models) if costs is None else [float(cost) for cost in costs.mean(axis=0)]
    return Evaluation(
        rows=len(rows),
        protocol=_protocol(labels, seed),
        models=tuple(ModelResult(*one) for one in zip(models, map(float, means), prices, strict=True)),
        pair=pair,
        random_sd=spread,
        pool=pool,
        cascades=cascades,
        notes=tuple(_notes(rows, costs, labels)),
    )


def _check(rows: Sequence[Row], models: Sequence[str], labels: int | None, priced: Mapping[str, float]) -> None:
    if len(models) < 2:
        raise OutcomesError(f"--models: {', '.join(models) or 'none'}: name at least two, from weak to strong")
    for model, price in priced.items():
        if model not in models:
            raise OutcomesError(f"--price: {model!r} is not one of --models {','.join(models)}")
        if not 0.0 <= price < float("inf"):
            raise OutcomesError(f"--price: {model}={price} is no price; give USD per request, 0 or more")
    if len(rows) < 2 * FOLDS:
        raise OutcomesError(f"{len(rows)} rows: give at least {2 * FOLDS}, to learn from some and measure on others")
    if labels is not None and not 0 < labels <= len(rows) * (FOLDS - 1) // FOLDS:
        most = len(rows) * (FOLDS - 1) // FOLDS
        raise OutcomesError(f"--labels: {labels} of {len(rows)} rows; give 1 to {most}, the others measure")
    check_models(rows, models)


def _costs(rows: Sequence[Row], models: Sequence[str], priced: Mapping[str, float]) -> Floats | None:
    """(rows, models) USD; None for two models of which nothing is priced. Raises `OutcomesError`."""
    billed = any(row.outcomes[model].cost_usd is not None for row in rows for model in models)
    if len(models) == 2 and not billed and not priced:
        return None
    costs = np.array([costs_of(rows, model, priced=priced) for model in models]).T
    weak, strong = costs.mean(axis=0)[[0, -1]]
    if strong <= weak:
        raise OutcomesError(
            f"cost_usd: {models[-1]} costs {strong:.3g} USD, {models[0]} {weak:.3g}: no price to "
            f"trade; drop the dearer one, or state a price with --price {models[-1]}=USD"
        )
    return costs


def _pair(asked: _Asked) -> tuple[tuple[PairResult, ...], frozenset[str], float]:
    weak, strong = asked.scores.T
    count, draws = len(asked.rows), asked.labels is not None
    splits = k_folds(count, FOLDS, seed=asked.seed) if asked.labels is None else label_draws(count, asked.labels)
    parts = baseline_parts(asked.rows, weak, strong, splits, draws=draws)
    learners = pair_routers(asked.rows, asked.models) if asked.learned else []
    oracle = parts.pop("oracle")
    parts |= {router.name: pooled(router.learn, splits, draws=draws) for router in learners}
    parts["oracle"] = oracle
    random, spread = random_result(weak, strong, seed=asked.seed)
    measured = [
        measure_pair(name, part, weak, strong, seed=asked.seed, resamples=asked.resamples)
        for name, part in parts.items()
    ]
    return (random, *measured), frozenset(router.name for router in learners if router.reads_answer), spread


def _pool(asked: _Asked, costs: Floats) -> tuple[PoolResult, ...]:
    """Baselines and routers over all models. With few labels each fold learns from that many of its training rows."""
    scores = asked.scores
    folds = k_folds(len(scores), FOLDS, seed=asked.seed)
    if asked.labels is None:
        learned = folds
    else:
        orders = [np.random.default_rng(asked.seed + at).permutation(fold.train) for at, fold in enumerate(folds)]
        learned = [Split(order[: asked.labels], fold.test) for order, fold in zip(orders, folds, strict=True)]
    singles = single_models(scores, costs)
    families = {"linear (single models)": singles}
    length = lengths(asked.rows)
    thresholds = np.asarray(np.quantile(length, _QUANTILES), dtype=np.float64)
    families["prompt length"] = split_by(length, thresholds, scores, costs)
    tasks = task_ids(asked.rows)
    if tasks.max() > 0:
        families["task identity"] = _by_task(tasks, scores, costs, learned)
    if asked.learned:
        families |= pool_routers(asked.rows, asked.models, costs, learned)
    families["oracle"] = chosen_by(scores, costs, scores, costs)
    measured = [
        measure_pool(name, family, singles, folds, seed=asked.seed, resamples=asked.resamples)
        for name, family in families.items()
    ]
    needs = random_needs(len(scores), seed=asked.seed)
    random = [
        measure_pool("random", split_by(need, _QUANTILES, scores, costs), singles, folds, resamples=0) for need in needs
    ]
    return (random_pool(random), *measured)


def _by_task(tasks: Indices, scores: Floats, costs: Floats, splits: Sequence[Split]) -> Policies:
    """The model of greatest mean score less λ · mean cost for the task, both means from training rows."""
    predicted, prices = np.empty_like(scores), np.empty_like(costs)
    for split in splits:
        predicted[split.test] = task_means(scores, tasks, split.train, split.test)
        prices[split.test] = task_means(costs, tasks, split.train, split.test)
    return chosen_by(predicted, prices, scores, costs)


def _protocol(labels: int | None, seed: int) -> str:
    if labels is None:
        return f"{FOLDS} folds, seed {seed}, every value out of fold"
    return f"{labels} labels, measured on the other rows, mean of 3 draws"


def _notes(rows: Sequence[Row], costs: Floats | None, labels: int | None) -> list[str]:
    notes = []
    if costs is None:
        notes.append("no costs in these files: --price MODEL=USD states one per request")
    if len({row.task for row in rows}) == 1:
        notes.append("one task: knowing the task says nothing here")
    if costs is not None and labels is not None:
        notes.append(
            f"cost and quality: each of {FOLDS} folds learns from {labels} of its rows; mixes from other folds"
        )
    return notes
