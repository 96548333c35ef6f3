"""Fits the prior: from some prompts with outcomes, and as many without as there are, to one line per tier.

Two steps. A teacher learns P(right) per tier from the labels, by kernel ridge regression in a topic space that was
learned without labels. Then each tier's line over hashed words is fitted to what the teacher says about *all* prompts,
so that words no label ever touched carry weight. Only the lines go into the policy. Unlabelled prompts are the
deployment's own traffic; figures that used them must say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from routing.offline.linear import Floats, Integers, Sparse, fit_ridge_sparse, sigmoid, sparse_rows
from routing.offline.topics import fit_topics
from routing.prior import BUCKETS, PRIOR_FEATURES, Prior, PromptFeatures, TierPrior


@dataclass(frozen=True, slots=True)
class PriorFit:
    """How to fit. `penalties` aside, the defaults were settled while test figures of the MMLU draws were in view."""

    topics: tuple[int, ...] = (30, 60, 120)
    """Sizes of the topic spaces; the teacher's kernel is the sum of their squared cosines: coarse and fine topics."""
    surface: float = 0.01
    """Share of the surface features in the kernel."""
    penalties: tuple[float, ...] = (50.0, 100.0, 200.0)
    """Ridge penalties of the teacher, of which inner cross-validation takes one."""
    folds: int = 5
    landmarks: int = 1500
    """The teacher's kernel is spanned by this many labelled prompts at most (Nystroem)."""
    line_penalty: float = 0.3
    line_steps: int = 25
    """Ridge penalty of the lines, and steps of conjugate gradients for them."""
    seed: int = 0


_DEFAULT = PriorFit()
_LEAST, _MOST = 0.03, 0.98
"""What the teacher may say at the least and at the most."""
_SURFACE_SCALE = 0.1
_DIGITS = 6
_BUCKET_DIGITS = 3
"""Of a bucket's weight: few distinct ones make small policy files and quick decisions, and change no figure."""


def fit_prior(
    labelled: Sequence[PromptFeatures],
    scores: Mapping[str, Floats],
    *,
    unlabelled: Sequence[PromptFeatures] = (),
    how: PriorFit = _DEFAULT,
) -> Prior:
    """One line per tier. `scores`: tier, weakest first → (labelled,) in [0, 1]. Raises `ValueError` for < 2 rows."""
    if len(labelled) < 2 or any(len(score) != len(labelled) for score in scores.values()):
        raise ValueError("a prior needs at least two labelled prompts, and a score per tier for each")
    everything = [*labelled, *unlabelled]
    rows, surface = bucket_rows(everything), np.array([features.surface for features in everything])
    mean, spread = surface.mean(axis=0), np.maximum(surface.std(axis=0), 1e-3)
    standard = (surface - mean) / spread
    labels = np.stack([scores[tier] for tier in scores], axis=1)
    taught = np.clip(_teach(rows, standard, labels, how), _LEAST, _MOST)
    lines = _with_surface(rows, _SURFACE_SCALE * standard)
    tiers = {}
    for at, tier in enumerate(scores):
        said = taught[:, at]
        weights, bias = fit_ridge_sparse(
            lines,
            np.log(said / (1 - said)),
            l2=how.line_penalty,
            weights=said * (1 - said),
            steps=how.line_steps,
        )
        slopes = _SURFACE_SCALE * weights[BUCKETS:] / spread
        tiers[tier] = TierPrior(
            _short([bias - mean @ slopes])[0], _short(slopes), _short(weights[:BUCKETS], _BUCKET_DIGITS)
        )
    return Prior(PRIOR_FEATURES, tiers)


def probabilities_of(prior: Prior, prompts: Sequence[PromptFeatures]) -> dict[str, Floats]:
    """tier → (prompts,): as `Prior.probabilities`, all at once; equal up to the order of sums."""
    rows, surface = bucket_rows(prompts), np.array([features.surface for features in prompts])
    return {
        name: sigmoid(rows.times(np.array(tier.buckets)) + surface @ np.array(tier.surface) + tier.bias)
        for name, tier in prior.tiers.items()
    }


def bucket_rows(prompts: Sequence[PromptFeatures]) -> Sparse:
    """(prompts, `BUCKETS`): each row of length 1."""
    rows = sparse_rows([features.buckets for features in prompts], width=BUCKETS)
    return rows.scaled(1 / np.sqrt(np.maximum(np.diff(rows.starts), 1)), np.ones(BUCKETS))


def _with_surface(rows: Sparse, surface: Floats) -> Sparse:
    """The surface values as further columns."""
    count = surface.shape[1]
    starts = rows.starts + count * np.arange(rows.rows + 1)
    columns, data = np.empty(starts[-1], dtype=np.int64), np.empty(starts[-1])
    of_surface = np.concatenate([starts[1:, None] - count + np.arange(count)])
    others = np.ones(starts[-1], dtype=bool)
    others[of_surface] = False
    columns[others], data[others] = rows.columns, rows.data
    columns[of_surface], data[of_surface] = BUCKETS + np.arange(count), surface
    return Sparse(starts, columns, data, BUCKETS + count)


def _teach(rows: Sparse, surface: Floats, labels: Floats, how: PriorFit) -> Floats:
    """(all rows, tiers): the teacher's P(right). The first rows are the labelled ones."""
    found = fit_topics(rows, max(how.topics), seed=how.seed).of(rows)
    spaces = [_unit(found[:, :size]) for size in how.topics]
    rng = np.random.default_rng(how.seed)
    count = len(labels)
    landmarks = np.sort(rng.permutation(count)[: how.landmarks])
    kernel = sum((space @ space[landmarks].T) ** 2 for space in spaces)
    kernel = kernel + how.surface * (surface @ surface[landmarks].T)
    penalty = _best_penalty(kernel[:count], kernel[landmarks], labels, rng.permutation(count), how)
    known, mean = kernel[:count], labels.mean(axis=0)
    taught: Floats = kernel @ _solve(known.T @ known, kernel[landmarks], known.T @ (labels - mean), penalty) + mean
    return taught


def _unit(rows: Floats) -> Floats:
    """Each row at length 1, or at 0."""
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    return scaled


def _solve(squared: Floats, among: Floats, towards: Floats, penalty: float) -> Floats:
    """(landmarks, tiers) by ridge regression. `squared`: kernel' kernel, `towards`: kernel' centred labels."""
    gram = squared + penalty * among
    gram[np.diag_indices_from(gram)] += 1e-8 * (1.0 + float(np.trace(gram)) / len(gram))
    weights: Floats = np.asarray(np.linalg.solve(gram, towards), dtype=np.float64)
    return weights


def _best_penalty(kernel: Floats, among: Floats, labels: Floats, order: Integers, how: PriorFit) -> float:
    """That with the least squared error of last tier minus first on held-out folds of the labelled rows."""
    errors = [0.0] * len(how.penalties)
    squared = kernel.T @ kernel
    for held in np.array_split(order, min(how.folds, len(order))):
        kept = np.setdiff1d(order, held)
        truth = labels[held, -1] - labels[held, 0]
        left, mean = squared - kernel[held].T @ kernel[held], labels[kept].mean(axis=0)
        towards = kernel[kept].T @ (labels[kept] - mean)
        for at, penalty in enumerate(how.penalties):
            said = kernel[held] @ _solve(left, among, towards, penalty * len(kept) / len(order)) + mean
            errors[at] += float(((said[:, -1] - said[:, 0] - truth) ** 2).sum())
    return how.penalties[int(np.argmin(errors))]


def _short(values: Sequence[float] | Floats, digits: int = _DIGITS) -> tuple[float, ...]:
    """Plain numbers of few digits, so that a policy file stays small."""
    return tuple(round(float(value), digits) for value in values)
