"""Off-policy estimates: unbiased by enumeration, with intervals that cover, and no promotion without rows."""

import random

import pytest

from routing.off_policy import (
    Estimate,
    Logged,
    difference,
    doubly_robust,
    effective_rows,
    ips,
    may_promote,
    weights,
)


def log_of(seed: int, rows: int, *, share_of_strong: float, guess: float = 0.0) -> list[Logged]:
    """Logged with P(strong) = 0.2; strong is right at 0.9, weak at 0.6; seen from a policy with another share."""
    chance, logged = random.Random(seed), []
    for _ in range(rows):
        strong = chance.random() < 0.2
        score = float(chance.random() < (0.9 if strong else 0.6))
        expected = {True: 0.9 + guess, False: 0.6 + guess}
        value = share_of_strong * expected[True] + (1 - share_of_strong) * expected[False]
        propensity = 0.2 if strong else 0.8
        share = share_of_strong if strong else 1 - share_of_strong
        logged.append(Logged(score, propensity, share, expected[strong], value))
    return logged


@pytest.mark.parametrize("estimate", [ips, doubly_robust])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_intervals_cover_the_value_of_another_policy(estimate, share: float) -> None:  # type: ignore[no-untyped-def]
    truth = 0.6 + 0.3 * share
    found = [estimate(log_of(seed, 800, share_of_strong=share)) for seed in range(100)]
    assert sum(one.low <= truth <= one.high for one in found) >= 88
    assert sum(one.value for one in found) / 100 == pytest.approx(truth, abs=0.02)


def test_doubly_robust_is_quieter_and_stays_right_with_a_wrong_guess() -> None:
    rows = log_of(1, 3000, share_of_strong=1.0)
    assert doubly_robust(rows).high - doubly_robust(rows).low < ips(rows).high - ips(rows).low
    wrong = doubly_robust(log_of(1, 3000, share_of_strong=1.0, guess=0.3))
    assert wrong.low <= 0.9 <= wrong.high


def test_effective_rows_count_matches() -> None:
    assert effective_rows([2.0] * 7 + [0.0] * 93) == pytest.approx(7.0)
    assert effective_rows([0.0, 0.0]) == 0.0
    rows = log_of(2, 1000, share_of_strong=1.0)
    assert ips(rows).effective_rows == pytest.approx(sum(row.share for row in rows))


def test_only_a_better_policy_with_enough_rows_is_promoted() -> None:
    better, same = log_of(3, 4000, share_of_strong=1.0), log_of(3, 4000, share_of_strong=0.2)
    gap = difference(better, same)
    assert gap.low > 0.0
    assert gap.low <= 0.3 * 0.8 <= gap.high
    assert may_promote(gap)
    assert not may_promote(difference(same, better))
    assert not may_promote(difference(same, same))
    few = difference(better[:500], same[:500])
    assert few.effective_rows < 200
    assert not may_promote(few)
    assert not may_promote(Estimate(0.1, 0.0, 0.2, 1000.0))


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ValueError, match="propensity"):
        weights([Logged(1.0, 0.0, 1.0)])
    with pytest.raises(ValueError, match="two"):
        ips([Logged(1.0, 1.0, 1.0)])
    with pytest.raises(ValueError, match="argument"):
        difference(log_of(1, 3, share_of_strong=1.0), log_of(1, 4, share_of_strong=1.0))
