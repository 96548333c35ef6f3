"""Fitting posteriors on made-up answers: what is learned, what is read, and that nothing is read that may not be."""

import numpy as np
import pytest

from routing.evidence import NAMES, evidence, prefix_evidence
from routing.offline.metrics import auroc, calibration_error
from routing.offline.outcomes import Outcome, OutcomesError, Row
from routing.offline.posteriors import (
    PosteriorFit,
    doubt_learner,
    evidence_of,
    fit_posterior,
    gain_learner,
    logits_of,
)
from routing.offline.splits import k_folds
from routing.posterior import doubt

QUICK = PosteriorFit(rounds=10, leaves=4, rate=0.2, pulls=(1.0, 100.0))


def made_up(rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One feature says how likely right is, two that say it where both are positive; one is noise, one constant."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=(rows, 4)), np.full(rows, 3.0)])
    logit = 1.5 * x[:, 0] + np.where((x[:, 1] > 0) & (x[:, 2] > 0), 3.0, -1.0)
    return x, (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float64)


def test_learns_what_holds_on_other_rows() -> None:
    x, y = made_up(800)
    fresh, right = made_up(800, seed=1)
    posterior = fit_posterior(x, y, QUICK)
    p = np.array([posterior.probability(row) for row in fresh.tolist()])
    assert auroc(p, right > 0.5) > 0.8
    assert calibration_error(p, right) < 0.08
    assert posterior.weights[4] == 0.0  # does not vary


def test_the_same_rows_give_the_same_posterior() -> None:
    x, y = made_up(120)
    assert fit_posterior(x, y, QUICK) == fit_posterior(x, y, QUICK)


def test_logits_are_the_runtimes() -> None:
    x, y = made_up(120)
    posterior = fit_posterior(x, y, QUICK, version=7)
    assert posterior.version == 7
    assert logits_of(posterior, x).tolist() == [posterior.logit(row) for row in x.tolist()]


def test_a_pull_is_chosen_on_inner_folds() -> None:
    x, y = made_up(300)
    weak, strong = (fit_posterior(x, y, PosteriorFit(rounds=2, pulls=(pull,))) for pull in (1.0, 1e4))
    chosen = fit_posterior(x, y, PosteriorFit(rounds=2, pulls=(1e4, 1.0)))
    assert chosen.weights == weak.weights != strong.weights


def test_too_few_rows_for_the_inner_folds_are_refused() -> None:
    x, y = made_up(3)
    with pytest.raises(ValueError, match="cannot make 4 folds"):
        fit_posterior(x, y)


def test_need_is_the_expected_gain_and_reads_training_rows_alone() -> None:
    x, weak = made_up(400)
    strong = np.maximum(weak, (x[:, 3] > 0).astype(np.float64))
    split = k_folds(400, 4)[0]
    need = gain_learner(x, weak, strong, QUICK)(split)
    hidden_weak, hidden_strong = weak.copy(), strong.copy()
    hidden_weak[split.test] = hidden_strong[split.test] = 0.5
    assert need.tolist() == gain_learner(x, hidden_weak, hidden_strong, QUICK)(split).tolist()
    assert auroc(need, (strong - weak)[split.test] > 0) > 0.7


def answered(answer: str | None, tokens: int | None = None) -> Row:
    outcome = Outcome(1.0, answer=answer, completion_tokens=tokens)
    return Row("one", "made-up", "sums", "What is 2 + 3?", {"weak": outcome})


def test_evidence_is_that_of_the_recorded_answers() -> None:
    whole, half = (evidence_of([answered("2 + 3 = 5", 7)], "weak", share=share) for share in (1.0, 0.5))
    assert whole.tolist() == [list(evidence("What is 2 + 3?", "2 + 3 = 5", completion_tokens=7))]
    assert half.tolist() == [list(prefix_evidence("What is 2 + 3?", "2 + "))]
    assert whole.shape == (1, len(NAMES))


def test_a_row_without_an_answer_is_refused() -> None:
    with pytest.raises(OutcomesError, match=r"one: outcomes\.weak\.answer is missing"):
        evidence_of([answered(None)], "weak")


def test_doubt_needs_no_label() -> None:
    x = evidence_of([answered("2 + 3 = 5"), answered("2 + 3 = 6"), answered("5"), answered("")], "weak")
    split = k_folds(4, 2)[0]
    assert doubt_learner(x)(split).tolist() == [doubt(row) for row in x[split.test].tolist()]
