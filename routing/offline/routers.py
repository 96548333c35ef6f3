"""What is learned, as evaluation sees it: by name, from training rows to needs or policies on test rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing.offline.induction import Recorded, cascade_policies
from routing.offline.metrics import Floats
from routing.offline.outcomes import Row
from routing.offline.pairs import Learner
from routing.offline.pools import Policies
from routing.offline.posteriors import doubt_learner, evidence_of, gain_learner
from routing.offline.priors import fit_prior, probabilities_of
from routing.offline.splits import Indices, Split
from routing.prior import PromptFeatures, prompt_features

MOST_TIERS = 3
PROMPT = "prior (prompt)"
READING = "weak answer read"
UNLABELLED = "weak answer checked, no labels"
CONFIDENCE = "weak confidence, no labels"


@dataclass(frozen=True, slots=True)
class PairRouter:
    """A learned router between two models."""

    name: str
    learn: Learner
    reads_answer: bool
    """Does it read the weak answer first?"""


def pair_routers(rows: Sequence[Row], models: Sequence[str]) -> list[PairRouter]:
    """The routers that these rows have the fields for."""
    weak, strong = (np.array([row.outcomes[model].score for row in rows]) for model in models)
    answers = [row.outcomes[models[0]] for row in rows]
    known = [prompt_features(row.prompt) for row in rows]
    found = [PairRouter(PROMPT, prior_learner(known, weak, strong, unlabelled=False), reads_answer=False)]
    if all(one.confidence is not None for one in answers):
        doubts = np.array([1.0 - (one.confidence or 0.0) for one in answers])
        found.append(PairRouter(CONFIDENCE, lambda split: doubts[split.test], reads_answer=True))
    if all(one.answer is not None for one in answers):
        x = evidence_of(rows, models[0])
        found.append(PairRouter(UNLABELLED, doubt_learner(x), reads_answer=True))
        found.append(PairRouter(READING, gain_learner(x, weak, strong), reads_answer=True))
    return found


def pool_routers(
    rows: Sequence[Row], models: Sequence[str], costs: Floats, splits: Sequence[Split]
) -> dict[str, Policies]:
    """Policies by router, on rows that they have not learned from: of at most three models that all kept answers."""
    if len(models) > MOST_TIERS or any(row.outcomes[model].answer is None for row in rows for model in models):
        return {}
    return cascade_policies(Recorded.of(rows, models, costs), models, splits)


def prior_learner(known: Sequence[PromptFeatures], weak: Floats, strong: Floats, *, unlabelled: bool) -> Learner:
    """Need = P(strong right) - P(weak right) by priors fitted on training rows.

    With `unlabelled`, each half of the test rows is scored by a prior that saw the other half of them.
    """

    def gain(train: Indices, others: Indices, test: Indices) -> Floats:
        prior = fit_prior(
            [known[at] for at in train],
            {"weak": weak[train], "strong": strong[train]},
            unlabelled=[known[at] for at in others],
        )
        found = probabilities_of(prior, [known[at] for at in test])
        return np.asarray(found["strong"] - found["weak"])

    def learn(split: Split) -> Floats:
        if not unlabelled:
            return gain(split.train, split.test[:0], split.test)
        half = len(split.test) // 2
        first, second = split.test[:half], split.test[half:]
        return np.concatenate([gain(split.train, second, first), gain(split.train, first, second)])

    return learn
