"""P(an answer is right | prompt and evidence): a linear part and boosted trees over named features, mixed and mapped.

Plain numbers that `routing.offline.posteriors` fits and a policy file holds; sums in fixed order, so that a replay
gives the same bits. Knows nothing of tiers. Without labels there is `doubt`, a fixed rule.
"""

from collections.abc import Sequence
from math import copysign, expm1, fsum, log1p

import msgspec

from routing.calibration import sigmoid
from routing.evidence import NAMES
from routing.trees import Trees


class Posterior(msgspec.Struct, frozen=True):
    """Log-odds = mix · (1, linear part, trees). Raises `ValueError` for parts that do not fit together."""

    version: int
    """Of the evidence it was fitted on; another one's features mean something else."""
    centers: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    """Per feature, of sign(x) · log(1 + |x|), centred and scaled."""
    bias: float
    trees: Trees
    mix: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not len(self.centers) == len(self.scales) == len(self.weights):
            raise ValueError("posterior: centers, scales and weights differ in length")
        if not all(scale > 0 for scale in self.scales):
            raise ValueError("posterior: scales have to be above 0")

    def linear(self, features: Sequence[float]) -> float:
        """The linear part. Raises `ValueError` for another number of features."""
        each = zip(features, self.centers, self.scales, self.weights, strict=True)
        return self.bias + fsum([w * (squashed(value) - center) / scale for value, center, scale, w in each])

    def logit(self, features: Sequence[float]) -> float:
        """Log-odds that the answer is right."""
        start, linear, trees = self.mix
        return start + linear * self.linear(features) + trees * self.trees.value(features)

    def probability(self, features: Sequence[float]) -> float:
        """That the answer is right."""
        return sigmoid(self.logit(features))


def squashed(value: float) -> float:
    """Counts and sizes on a scale where a few more of many are less than a few more of none."""
    return copysign(log1p(abs(value)), value)


_AT = {name: at for at, name in enumerate(NAMES)}
_BROKEN = ("empty", "refusal", "cut_off", "filtered", "json_broken", "schema_misfit", "tool_broken", "code_broken")


def doubt(evidence: Sequence[float]) -> float:
    """How doubtful an answer looks without any label: a fixed rule over `routing.evidence.NAMES`; higher is worse.

    Broken form counts 3 each; sums that do not hold and an end that no sum led to 2; sums that cannot be read, a
    fraction out of whole numbers, numbers of the prompt or results left unused 1; then length, hedging and
    unsure tokens.
    """

    def of(name: str) -> float:
        return evidence[_AT[name]]

    total = 3.0 * sum(of(name) > 0 for name in _BROKEN) + 2.0 * (of("wrong_equations") > 0)
    total += of("unread_equals") > 0
    total += of("dangling_results") > 0
    if of("answer_numbers") > 0:
        total += 2.0 * (1.0 - of("final_is_result")) + (of("unused_numbers") > 0)
        total += of("final_integral") == 0 and of("prompt_fractional") == 0
    total += expm1(of("answer_chars")) / 2000 + expm1(of("prompt_chars")) / 1000
    total += 0.5 * log1p(of("hedges") + of("deliberation"))
    return total + 4.0 * of("logprob_doubtful")
