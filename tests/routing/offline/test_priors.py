import random

import numpy as np
import pytest

from routing.offline.priors import PriorFit, bucket_rows, fit_prior, probabilities_of
from routing.prior import PromptFeatures, check_prior, prompt_features

EASY = [
    "river",
    "mountain",
    "city",
    "country",
    "ocean",
    "island",
    "valley",
    "forest",
    "desert",
    "lake",
    "coast",
    "hill",
]
HARD = ["theorem", "lemma", "proof", "axiom", "group", "ring", "field", "kernel", "basis", "tensor", "matrix", "norm"]
QUICK = PriorFit(topics=(2, 4), penalties=(0.3, 1.0, 3.0), line_penalty=0.01)


def prompts(count: int, words: int = 6) -> tuple[list[PromptFeatures], np.ndarray]:
    """Half of them hard; a few words each, so that most pairs of prompts share none."""
    rng = random.Random(0)
    hard = np.array([rng.random() < 0.5 for _ in range(count)])
    texts = [" ".join(["which", *rng.sample(HARD if it else EASY, words)]) for it in hard]
    return [prompt_features(text) for text in texts], hard


def scores(hard: np.ndarray) -> dict[str, np.ndarray]:
    return {"small": 1.0 - hard, "large": np.where(hard, 0.9, 1.0)}


def test_the_gain_of_the_larger_tier_is_found_on_held_out_prompts() -> None:
    given, hard = prompts(300)
    known = {tier: score[:200] for tier, score in scores(hard).items()}
    fitted = fit_prior(given[:200], known, how=QUICK)
    check_prior(fitted)
    said = probabilities_of(fitted, given[200:])
    gain = said["large"] - said["small"]
    assert gain[hard[200:]].min() > gain[~hard[200:]].max()
    assert said["large"].min() > 0.7


def test_unlabelled_prompts_teach_words_that_no_label_touched() -> None:
    given, hard = prompts(400, words=4)
    few = [at for at, features in enumerate(given) if at < 60]
    known = {tier: score[few] for tier, score in scores(hard).items()}
    fitted = fit_prior([given[at] for at in few], known, unlabelled=given[60:], how=QUICK)
    unseen = set(range(1 << 16)) - {bucket for at in few for bucket in given[at].buckets}
    weights = np.array(fitted.tiers["small"].buckets)[sorted(unseen)]
    assert np.count_nonzero(weights) > 100


def test_runtime_and_array_probabilities_agree() -> None:
    given, hard = prompts(60)
    fitted = fit_prior(given, scores(hard), how=QUICK)
    empty = prompt_features("")
    said = probabilities_of(fitted, [*given, empty])
    for at, features in enumerate([*given, empty]):
        for tier, probability in fitted.probabilities(features).items():
            assert said[tier][at] == pytest.approx(probability, abs=1e-12)


def test_the_same_rows_give_the_same_prior_of_short_numbers() -> None:
    given, hard = prompts(60)
    fitted = fit_prior(given, scores(hard), how=QUICK)
    assert (fit_prior(given, scores(hard), how=QUICK) == fitted) is True
    assert all(round(weight, 3) == weight for weight in fitted.tiers["large"].buckets)


def test_fewer_landmarks_than_labels_still_separate() -> None:
    given, hard = prompts(200)
    fitted = fit_prior(given, scores(hard), how=PriorFit(topics=(2, 4), penalties=(1.0,), landmarks=40))
    said = probabilities_of(fitted, given)["small"]
    assert said[hard].max() < said[~hard].min()


def test_rows_have_length_1() -> None:
    rows = bucket_rows([prompt_features("one two three"), prompt_features("")])
    assert np.linalg.norm(rows.data) == pytest.approx(1.0)
    assert rows.rows == 2


@pytest.mark.parametrize("count", [0, 1])
def test_a_prior_needs_two_prompts(count: int) -> None:
    given, hard = prompts(count)
    with pytest.raises(ValueError, match="at least two"):
        fit_prior(given, scores(hard))


def test_every_prompt_needs_a_score_per_tier() -> None:
    given, _ = prompts(5)
    with pytest.raises(ValueError, match="score per tier"):
        fit_prior(given, {"small": np.ones(4), "large": np.ones(5)})
