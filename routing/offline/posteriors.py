"""Fitting posteriors: the linear part, the boosted trees, and their mix by stacking, from evidence and scores.

Everything is learned from the rows that are given, stacking on inner folds of them; so a fit on training rows is
out of fold on the others. Deterministic.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing.evidence import EVIDENCE_VERSION, evidence, prefix_evidence
from routing.offline.boosting import fit_trees, values_of
from routing.offline.linear import fit_logistic
from routing.offline.metrics import Floats
from routing.offline.outcomes import OutcomesError, Row
from routing.offline.pairs import Learner
from routing.offline.splits import Split, k_folds
from routing.posterior import Posterior, doubt
from routing.trees import Trees

_SPREAD = 1e-6
"""A feature that varies less has none."""


@dataclass(frozen=True, slots=True)
class PosteriorFit:
    """Settings. Trees as measured on GSM8K in the facts on routing; the pull is chosen on inner folds."""

    rounds: int = 80
    leaves: int = 8
    rate: float = 0.06
    min_rows: int = 20
    pulls: tuple[float, ...] = (10.0, 30.0, 100.0, 300.0)
    """Choices of the linear part's l2."""
    folds: int = 4
    seed: int = 0
    mix_pull: float = 1.0


def evidence_of(rows: Sequence[Row], model: str, *, share: float = 1.0) -> Floats:
    """(rows, features) evidence of `model`'s answers, or of the first `share` of each one's characters.

    Recorded outcomes have no log-probabilities. Raises `OutcomesError` where there is no answer.
    """
    found = []
    for row in rows:
        outcome = row.outcomes[model]
        if outcome.answer is None:
            raise OutcomesError(f"{row.id}: outcomes.{model}.answer is missing; evidence needs the answer")
        if share < 1.0:
            found.append(prefix_evidence(row.prompt, outcome.answer, chars=int(share * len(outcome.answer))))
        else:
            found.append(evidence(row.prompt, outcome.answer, completion_tokens=outcome.completion_tokens))
    return np.array(found)


def fit_posterior(
    x: Floats, y: Floats, settings: PosteriorFit | None = None, *, version: int = EVIDENCE_VERSION
) -> Posterior:
    """P(right) from `x` (rows, features), finite, and `y` (rows,) scores in [0, 1].

    The mix is a logistic regression on what both parts say of rows they have not seen. Raises `ValueError` for fewer
    rows than inner folds.
    """
    settings = settings or PosteriorFit()
    splits = k_folds(len(y), settings.folds, seed=settings.seed)
    pull, linear = _best_pull(x, y, splits, settings)
    boosted = np.empty(len(y))
    for split in splits:
        boosted[split.test] = values_of(_trees(x[split.train], y[split.train], settings), x[split.test])
    mix, start = fit_logistic(np.stack([linear, boosted], axis=1), y, l2=settings.mix_pull)
    part = _linear(x, y, pull)
    return Posterior(
        version,
        tuple(part.centers.tolist()),
        tuple(part.scales.tolist()),
        tuple(part.weights.tolist()),
        part.bias,
        _trees(x, y, settings),
        (start, float(mix[0]), float(mix[1])),
    )


def logits_of(posterior: Posterior, x: Floats) -> Floats:
    """(rows,) log-odds, the same as the runtime's bit for bit."""
    return np.array([posterior.logit(row) for row in x.tolist()])


def gain_learner(x: Floats, weak: Floats, strong: Floats, settings: PosteriorFit | None = None) -> Learner:
    """Need = P(strong right) - P(weak right), both given the weak answer's evidence `x` (rows, features).

    `weak`, `strong`: (rows,) scores, of which each split's training rows alone are read.
    """

    def learn(split: Split) -> Floats:
        of_weak, of_strong = (fit_posterior(x[split.train], y[split.train], settings) for y in (weak, strong))
        test = x[split.test]
        return _probability(logits_of(of_strong, test)) - _probability(logits_of(of_weak, test))

    return learn


def doubt_learner(x: Floats) -> Learner:
    """Need = `routing.posterior.doubt`, without a label."""

    def learn(split: Split) -> Floats:
        return np.array([doubt(row) for row in x[split.test].tolist()])

    return learn


def _probability(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Linear:
    centers: Floats
    scales: Floats
    weights: Floats
    bias: float

    def values(self, x: Floats) -> Floats:
        return np.asarray((_squashed(x) - self.centers) / self.scales @ self.weights + self.bias)


def _squashed(x: Floats) -> Floats:
    return np.asarray(np.copysign(np.log1p(np.abs(x)), x))


def _linear(x: Floats, y: Floats, pull: float) -> _Linear:
    inner = _squashed(x)
    centers, scales = inner.mean(axis=0), inner.std(axis=0)
    varies = scales > _SPREAD
    scales = np.where(varies, scales, 1.0)
    weights = np.zeros(x.shape[1])
    weights[varies], bias = fit_logistic(((inner - centers) / scales)[:, varies], y, l2=pull)
    return _Linear(centers, scales, weights, bias)


def _best_pull(x: Floats, y: Floats, splits: Sequence[Split], settings: PosteriorFit) -> tuple[float, Floats]:
    """The l2 with the least log loss out of fold, and what it says out of fold."""
    tried = []
    for pull in settings.pulls:
        logit = np.empty(len(y))
        for split in splits:
            logit[split.test] = _linear(x[split.train], y[split.train], pull).values(x[split.test])
        tried.append((float(np.mean(np.logaddexp(0, logit) - y * logit)), pull, logit))
    _, pull, logit = min(tried, key=lambda each: each[:2])
    return pull, logit


def _trees(x: Floats, y: Floats, settings: PosteriorFit) -> Trees:
    return fit_trees(
        x,
        y,
        loss="log",
        rounds=settings.rounds,
        leaves=settings.leaves,
        rate=settings.rate,
        min_rows=settings.min_rows,
    )
