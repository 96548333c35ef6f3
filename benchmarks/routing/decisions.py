"""Decisions on the prompt alone: how long they take, and how many change when a prompt is merely set or worded anew.

The prior is fitted on 1,500 labels of MMLU; decided is whether its gain pays at the price that sends a quarter, half or
three quarters to the strong model. CPU time of the thread is judged: wall time measures a busy machine's neighbours.
"""

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.data import RoutingData
from benchmarks.report import Bar
from benchmarks.routing.yardsticks import GPT_4, MIXTRAL
from routing.offline.noise import NOISES, noisy
from routing.offline.priors import fit_prior
from routing.offline.splits import label_draws
from routing.prior import Prior, prompt_features

LABELS, PROMPTS = 1500, 4000
MOST_FLIPPED = 5.0
"""% of decisions."""
MOST_MS, LEAST_PER_SECOND = 1.0, 10_000.0
SHARES = (0.25, 0.5, 0.75)


def decisions(data: RoutingData, *, labels: int = LABELS, prompts: int = PROMPTS) -> list[Bar]:
    """Speed and robustness of the prior's decisions on prompts that it has not learned from."""
    rows = data.rows("routellm-mmlu")
    split = label_draws(len(rows), labels, seeds=(0,))[0]
    learned = [rows[at] for at in split.train]
    scores = {
        name: np.array([row.outcomes[model].score for row in learned])
        for name, model in (("weak", MIXTRAL), ("strong", GPT_4))
    }
    prior = fit_prior([prompt_features(row.prompt) for row in learned], scores)
    texts = [rows[at].prompt for at in split.test[:prompts]]
    return [*speed(prior, texts), *flips(prior, texts)]


def gain(prior: Prior, text: str) -> float:
    """What the strong model is worth, as the gateway would decide it."""
    found = prior.probabilities(prompt_features(text))
    return found["strong"] - found["weak"]


def speed(prior: Prior, texts: Sequence[str]) -> list[Bar]:
    """One decision after another, on one core."""
    took = []
    for text in texts:
        began = time.thread_time_ns()
        gain(prior, text)
        took.append((time.thread_time_ns() - began) / 1e6)
    p50, p99 = (float(value) for value in np.quantile(took, [0.5, 0.99]))
    return [
        Bar("decision on the prompt: CPU p99", p99, "ms", MOST_MS, at_most=True),
        Bar("decision on the prompt: CPU p50", p50, "ms"),
        Bar("decisions on the prompt: one core", 1000 / float(np.mean(took)), "/s", LEAST_PER_SECOND),
    ]


def flips(prior: Prior, texts: Sequence[str]) -> list[Bar]:
    """Share of decisions that change, mean over the three prices; lowest and highest among them."""
    before = np.array([gain(prior, text) for text in texts])
    prices = np.quantile(before, [1 - share for share in SHARES])
    found = []
    for name, noise in NOISES.items():
        after = np.array([gain(prior, text) for text in noisy(list(texts), noise)])
        changed = [100 * float(((before >= price) != (after >= price)).mean()) for price in prices]
        mean = float(np.mean(changed))
        title = f"decisions changed by {name}"
        found.append(Bar(title, mean, "%", MOST_FLIPPED, at_most=True, low=min(changed), high=max(changed)))
    return found
