"""Cascade routing by fitted backward induction: which tier to run next, or to stop, by what stop and go are worth.

At most three tiers, run in ascending order, any of them skipped. Pure Python: what was fitted is plain numbers, and λ,
prices, time and budget are passed in. Invariants: a higher λ or price never turns a stop into a go; no tier outside the
offers runs, none over budget or deadline. Source: cascade routing (arXiv 2410.10347), docs/routing.md "Optimiser".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log, log1p

import msgspec

from routing.agreement import agreement, words_of
from routing.prior import sigmoid
from routing.trees import Curves, Trees

MOST_TIERS = 3
_LEAST, _MOST = 1e-13, 1 - 1e-9


class Answered(msgspec.Struct, frozen=True):
    """A tier that has run and what its answer shows."""

    tier: int
    """Its place, 0 the weakest."""
    confidence: float
    """In [0, 1], uncalibrated."""
    tokens: int
    text: str


class Offer(msgspec.Struct, frozen=True):
    """A tier that may run now."""

    usd: float
    """Expected, its delay priced in."""
    worst_usd: float = 0.0
    """The most it may be billed: prompt and max tokens."""
    seconds: float = 0.0
    """Expected to its last byte."""


class StateModel(msgspec.Struct, frozen=True):
    """What is known in one state: a set of tiers that have run."""

    right: dict[int, Trees]
    """tier → log-odds that its answer is right: of those that ran and those that may."""
    onward: dict[int, Curves]
    """next tier, not the last one → what the state after it is worth, per knot."""


class Induction(msgspec.Struct, frozen=True):
    """A fitted cascade. Raises `ValueError` for parts that do not fit together."""

    tiers: tuple[str, ...]
    knots: tuple[float, ...]
    """Ascending from 0: λ times the cost of the last tier, in score."""
    ratios: tuple[float, ...]
    """Per tier its mean cost over the last tier's, at the fit."""
    states: dict[str, StateModel]
    """By the tiers that have run: "", "0", "1", "01"."""

    def __post_init__(self) -> None:
        count = len(self.tiers)
        if not 2 <= count <= MOST_TIERS or len(self.ratios) != count:
            raise ValueError(f"induction: {count} tiers with {len(self.ratios)} ratios; 2 or {MOST_TIERS} are possible")
        if (
            len(self.knots) < 2
            or self.knots[0] != 0
            or any(b <= a for a, b in zip(self.knots, self.knots[1:], strict=False))
        ):
            raise ValueError("induction: knots must ascend from 0")
        if {*self.states} != {*state_names(count)}:
            raise ValueError(f"induction: has states {sorted(self.states)}, needs {state_names(count)}")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do, and why."""

    run: int | None
    """The tier to run next; None: stop."""
    deliver: int | None
    """The best tier in hand, to be delivered on a stop; None before anything ran."""
    stop: float | None
    """Expected score of delivering now; None before anything ran, and after the last tier, which is not judged."""
    go: Mapping[int, float]
    """tier → expected score of going there and on, less λ · cost; only those that may run."""


def state_names(tiers: int) -> list[str]:
    """The states in which something may still be chosen: sets of all tiers but the last."""
    return [""] + ["0"] * (tiers > 1) + ["1", "01"] * (tiers > 2)


def prompt_state(logits: Sequence[float], surface: Sequence[float]) -> list[float]:
    """What a prompt adds to every state: the prior's log-odds per tier, their differences, and its surface."""
    gains = [high - low for at, low in enumerate(logits) for high in logits[at + 1 :]]
    return [*logits, *gains, *surface]


def state_features(prompt: Sequence[float], answered: Sequence[Answered]) -> list[float]:
    """`prompt`: see `prompt_state`; then five numbers per answer in order of tier, and two per pair of answers."""
    features = [*prompt]
    for one in answered:
        p = min(max(one.confidence, _LEAST), _MOST)
        words = words_of(one.text)
        features += (log1p(-p), log(-log(p)), one.tokens, len(one.text), letter_of(words))
    for at, one in enumerate(answered):
        for other in answered[at + 1 :]:
            features += agreement(one.text, other.text)
    return features


def letter_of(words: Sequence[str]) -> float:
    """Place in the alphabet of a one-letter answer, such as a choice; -1 for any other."""
    return float(ord(words[0]) - ord("a")) if words and len(words[0]) == 1 else -1.0


def choose(
    fitted: Induction,
    prompt: Sequence[float],
    answered: Sequence[Answered],
    offers: Mapping[int, Offer],
    *,
    score_per_usd: float,
    left_usd: float = inf,
    left_s: float = inf,
) -> Choice:
    """The best action. `offers`: tier → what it costs now, those allowed only; `score_per_usd`: λ, at least 0.

    Tiers not above the last that ran, over `left_usd` at worst, or over `left_s` are not considered. With nothing in
    hand and nothing possible, `run` and `deliver` are both None: no route.
    """
    done = sorted(answered, key=lambda one: one.tier)
    last = done[-1].tier if done else -1
    open_to = {
        tier: offer
        for tier, offer in sorted(offers.items())
        if last < tier < len(fitted.tiers) and offer.worst_usd <= left_usd and offer.seconds <= left_s
    }
    if last == len(fitted.tiers) - 1 or not (done or open_to):
        return Choice(None, last if done else None, None, {})
    state, features = fitted.states["".join(str(one.tier) for one in done)], state_features(prompt, done)
    held = {one.tier: sigmoid(state.right[one.tier].value(features)) for one in done}
    best = max(held, key=lambda tier: held[tier], default=None)
    stop = None if best is None else held[best]
    go = {tier: _go(fitted, state, features, tier, open_to, score_per_usd) for tier in open_to}
    run = max(go, key=lambda tier: go[tier], default=None)
    goes = run is not None and (stop is None or go[run] > stop)
    return Choice(run if goes else None, best, stop, go)


def _go(
    fitted: Induction,
    state: StateModel,
    features: Sequence[float],
    tier: int,
    open_to: Mapping[int, Offer],
    score_per_usd: float,
) -> float:
    """What running `tier` is worth: what comes after it less what it costs."""
    beyond = [other for other in open_to if other > tier]
    price = score_per_usd * open_to[tier].usd
    if not beyond:
        return sigmoid(state.right[tier].value(features)) - price
    dearness = (
        score_per_usd * sum(open_to[other].usd for other in beyond) / sum(fitted.ratios[other] for other in beyond)
    )
    return falling_at(fitted.knots, state.onward[tier].values(features), dearness) - price


def falling_at(knots: Sequence[float], values: Sequence[float], at: float) -> float:
    """The line through `values` at `knots`, held from rising by the least value so far; level beyond the last knot."""
    least = values[0]
    for knot, before, value in zip(knots[1:], knots, values[1:], strict=False):
        following = min(least, value)
        if at < knot:
            return least + (following - least) * (at - before) / (knot - before)
        least = following
    return least
