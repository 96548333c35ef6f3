"""Posteriors at run time: the arithmetic, what does not fit together, and the rule without labels."""

import math

import pytest

from routing.evidence import evidence
from routing.posterior import Posterior, doubt, squashed
from routing.trees import Trees

STUMP = Trees(0.5, (0,), (0, -1, -1), (1.0, -2.0, 3.0), (1, 0, 0), (2, 0, 0))
POSTERIOR = Posterior(1, (0.0, 1.0), (1.0, 2.0), (1.0, -4.0), 0.25, STUMP, (0.1, 0.5, 2.0))

PROMPT = "Ann has 12 apples and eats a third of them. Each costs $2. How much are the apples that are left worth?"
GOOD = "She eats 12 / 3 = 4 apples.\nThat leaves 12 - 4 = 8 apples.\nThey are worth 8 * 2 = $16.\n#### 16"


def test_mixes_the_linear_part_and_the_trees() -> None:
    row = [math.e - 1, 0.0]
    assert POSTERIOR.linear(row) == pytest.approx(0.25 + 1.0 + 2.0)
    assert POSTERIOR.logit(row) == pytest.approx(0.1 + 0.5 * 3.25 + 2.0 * 3.5)
    assert POSTERIOR.probability(row) == pytest.approx(1 / (1 + math.exp(-POSTERIOR.logit(row))))


def test_squashing_keeps_the_sign() -> None:
    assert squashed(-3.0) == -squashed(3.0) == -math.log(4)
    assert squashed(0.0) == 0


def test_refuses_another_number_of_features() -> None:
    with pytest.raises(ValueError, match="zip"):
        POSTERIOR.logit([1.0])


@pytest.mark.parametrize(
    ("centers", "scales", "reason"),
    [((0.0,), (1.0, 1.0), "differ in length"), ((0.0, 0.0), (1.0, 0.0), "above 0")],
)
def test_refuses_parts_that_do_not_fit(centers: tuple[float, ...], scales: tuple[float, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Posterior(1, centers, scales, (1.0, 1.0), 0.0, STUMP, (0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    "worse",
    [
        pytest.param("", id="empty"),
        pytest.param("I cannot answer this.", id="refusal"),
        pytest.param(GOOD.replace("= 8", "= 9"), id="wrong"),
        pytest.param(GOOD.replace("#### 16", "#### 17"), id="end-from-nowhere"),
        pytest.param(GOOD.replace("12 - 4 = 8", "7 + 1 = 8"), id="unused"),
        pytest.param(GOOD.replace("They", "However, perhaps they"), id="hedging"),
    ],
)
def test_a_worse_answer_is_more_doubtful(worse: str) -> None:
    assert doubt(evidence(PROMPT, worse)) > doubt(evidence(PROMPT, GOOD))


def test_a_cut_answer_and_unsure_tokens_are_more_doubtful() -> None:
    sure, unsure = ([value] * 20 for value in (-0.01, -2.0))
    assert doubt(evidence(PROMPT, GOOD, sure, "length")) > doubt(evidence(PROMPT, GOOD, sure, "stop"))
    assert doubt(evidence(PROMPT, GOOD, unsure)) > doubt(evidence(PROMPT, GOOD, sure))
