"""Online learning from zero labels, on recorded outcomes: one pass, only the served answer's score is seen.

`python -m routing.offline.streams FILE --weak M --strong M` prints what docs/routing.md quotes. A request is served by
one of two tiers, λ is steered so that the spend keeps to a budget, exploration is part of that spend, and the router is
measured on the requests that have not come yet. Costs are in units of one strong call.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing.features import Features, features
from routing.offline.metrics import bootstrap, curve
from routing.offline.outcomes import OutcomesError, check_models, read_outcomes
from routing.online import ExploreRules, GainLearner, choose
from routing.steering import SpendBalance, Steering, SteeringRules

Floats = NDArray[np.float64]

RATIO = 20.0
"""Price of a strong call over that of a weak one, assumed: these outcomes have no costs."""
BUDGET = 0.5
"""Allowed per request, in strong calls."""
REQUESTS = 4000
SEEDS = (0, 1, 2)
_LEAST_LAMBDA, _MOST_LAMBDA, _FIRST_LAMBDA = 0.001, 1.0, 0.1
"""Score per strong call."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Both models' scores on the same prompts, and the prompts' features."""

    known: Sequence[Features]
    weak: Floats
    strong: Floats


@dataclass(frozen=True, slots=True)
class Streamed:
    """One pass over the first requests of a shuffled stream."""

    requests: int
    apgr: float
    """Of what was learnt, on all prompts that were not yet seen."""
    low: float
    high: float
    """Bootstrap over those prompts, 95 %."""
    spend_error: float
    """spent / allowed - 1, over the whole pass."""
    worst_window: float
    """The same, farthest from 0, over every 1,000 requests in a row; over all where there are fewer."""
    quality: float
    """Mean score of what was served meanwhile."""
    strong_share: float
    explored: float
    """Share of the requests that were drawn."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a pass depends on besides the outcomes."""

    requests: int = REQUESTS
    ratio: float = RATIO
    budget: float = BUDGET
    half: float = 500.0
    """See `routing.online.ExploreRules`."""
    least: float = 0.05

    @property
    def weak_cost(self) -> float:
        """In strong calls."""
        return 1.0 / self.ratio

    def __post_init__(self) -> None:
        if not self.weak_cost < self.budget < 1.0:
            raise ValueError(f"a budget of {self.budget} must lie between {self.weak_cost:.3f} (always weak) and 1")


def stream(prompts: Prompts, setting: Setting, *, seed: int, draw: int = 1) -> Streamed:
    """One pass. `seed`: of the shuffle, `draw`: of the exploration. Raises `ValueError` when no prompt is left."""
    order = np.random.default_rng(seed).permutation(len(prompts.weak))
    now, later = order[: setting.requests], order[setting.requests :]
    if not len(later):
        raise ValueError(f"{len(order)} prompts leave none to measure on after {setting.requests} requests")
    learner = GainLearner(len(prompts.known[0].surface))
    spent, served, strong, explored = _serve(prompts, setting, learner, now, [seed, draw])
    need = np.array([learner.gain(prompts.known[at]) for at in later])
    weak_later, strong_later = prompts.weak[later], prompts.strong[later]
    low, high = bootstrap(lambda at: curve(weak_later[at], strong_later[at], need[at]).apgr, len(later), seed=seed)
    window = min(1000, len(spent))
    windows = np.convolve(spent, np.full(window, 1.0 / window), "valid") / setting.budget - 1.0
    return Streamed(
        len(now),
        curve(weak_later, strong_later, need).apgr,
        low,
        high,
        float(spent.mean() / setting.budget - 1.0),
        float(windows[np.abs(windows).argmax()]),
        float(served.mean()),
        float(strong.mean()),
        float(explored.mean()),
    )


def _serve(
    prompts: Prompts, setting: Setting, learner: GainLearner, order: NDArray[np.int64], seeds: list[int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """What each request cost, how good its answer was, whether the strong model gave it, and whether that was drawn."""
    weak_cost = setting.weak_cost
    rules = ExploreRules(setting.half, setting.least, (setting.budget - weak_cost) / (1.0 - weak_cost))
    steering = Steering(SteeringRules(_LEAST_LAMBDA, _MOST_LAMBDA), _FIRST_LAMBDA)
    balance = SpendBalance()
    chances = np.random.default_rng(seeds).random(len(order)).tolist()
    rows, off = [], 0.0
    for count, (at, chance) in enumerate(zip(order.tolist(), chances, strict=True)):
        known = prompts.known[at]
        wants = learner.gain(known) >= steering.value * (1.0 - weak_cost)
        epsilon = rules.epsilon(count)
        choice = choose(wants_strong=wants, epsilon=epsilon, strong_share=rules.share(off), chance=chance)
        score = float(prompts.strong[at] if choice.strong else prompts.weak[at])
        learner.learn(known, choice, score)
        cost = 1.0 if choice.strong else weak_cost
        error = balance.add(cost, setting.budget)
        if error is not None:
            steering.step(error)
            off = error
        rows.append((cost, score, float(choice.strong), float(choice.explored)))
    spent, served, strong, explored = np.array(rows).T
    return spent, served, strong, explored


def main(arguments: Sequence[str] | None = None) -> int:
    """One line per seed and their mean."""
    parser = argparse.ArgumentParser(prog="python -m routing.offline.streams", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--weak", required=True)
    parser.add_argument("--strong", required=True)
    parser.add_argument("--draws", type=int, default=1, help="explorations per shuffle; one is worth ± 0.02")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--ratio", type=float, default=RATIO, help="price of a strong call over that of a weak one")
    parser.add_argument("--budget", type=float, default=BUDGET, help="per request, in strong calls")
    options = parser.parse_args(arguments)
    rows = read_outcomes([options.file])
    try:
        check_models(rows, [options.weak, options.strong])
    except OutcomesError as error:
        parser.error(str(error))
    prompts = Prompts(
        [features(row.prompt) for row in rows],
        np.array([row.outcomes[options.weak].score for row in rows]),
        np.array([row.outcomes[options.strong].score for row in rows]),
    )
    setting = Setting(options.requests, options.ratio, options.budget)
    draws = [(seed, draw) for seed in SEEDS for draw in range(1, options.draws + 1)]
    passes = [stream(prompts, setting, seed=seed, draw=draw) for seed, draw in draws]
    print("\n".join(line(f"seed {seed}, {draw}", one) for (seed, draw), one in zip(draws, passes, strict=True)))
    print(f"mean APGR {np.mean([one.apgr for one in passes]):.4f}, worst spend error "
          f"{max((one.spend_error for one in passes), key=abs):+.2%}")  # fmt: skip
    return 0


def line(title: str, one: Streamed) -> str:
    """One pass, for people."""
    return (
        f"{title}: {one.requests} requests, APGR {one.apgr:.4f} [{one.low:.4f}, {one.high:.4f}], "
        f"spend {one.spend_error:+.2%} (worst 1,000: {one.worst_window:+.2%}), served {one.quality:.4f}, "
        f"strong {one.strong_share:.1%}, explored {one.explored:.1%}"
    )


if __name__ == "__main__":  # pragma: no cover
    raise SystemExit(main())
