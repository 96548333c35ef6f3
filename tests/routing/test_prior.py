import math
import random
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.prior import (
    BUCKETS,
    PRIOR_FEATURES,
    SURFACE,
    Prior,
    PriorLearner,
    TierPrior,
    check_prior,
    prompt_features,
    sigmoid,
)

PROMPT = "Find the degree for the field extension Q(sqrt(2), sqrt(3)) over Q.\nA. 0\nB. 4\nIs it 18 or 1,000?"


@cache
def prior() -> Prior:
    rng = random.Random(0)

    def line() -> TierPrior:
        surface = tuple(rng.gauss(0, 1) for _ in SURFACE)
        return TierPrior(rng.gauss(0, 1), surface, tuple(rng.gauss(0, 1) for _ in range(BUCKETS)))

    return Prior(PRIOR_FEATURES, {"small": line(), "large": line()})


@pytest.mark.parametrize(
    "noisy",
    [
        pytest.param(PROMPT.upper(), id="upper-case"),
        pytest.param(PROMPT.replace(" ", "   ").replace("\n", "\r\n\n\t"), id="white-space"),
        pytest.param(f"  {PROMPT}  \n", id="around"),
        pytest.param(f"Please {PROMPT}", id="polite"),
        pytest.param(f"{PROMPT} Thank you!", id="thanks"),
        pytest.param(PROMPT.replace("Find", "Determine"), id="synonym"),
        pytest.param(PROMPT.replace("18", "27"), id="other-number-of-as-many-digits"),
    ],
)
def test_noise_changes_no_feature(noisy: str) -> None:
    assert prompt_features(noisy) == prompt_features(PROMPT)


def test_other_words_and_other_order_are_other_features() -> None:
    assert prompt_features("dog bites man") != prompt_features("man bites dog")
    assert prompt_features("7") != prompt_features("8")


def test_surface_says_what_its_names_say() -> None:
    named = dict(zip(SURFACE, prompt_features("why ? 12 + 345 incomprehensible").surface, strict=True))
    assert named["words"] == pytest.approx(math.sqrt(2) / 16)
    assert named["numbers"] == pytest.approx(2 / 6)
    assert named["symbols"] == pytest.approx(2 / 6)
    assert named["questions"] == pytest.approx(math.log(2) / 2)
    assert named["longest_word"] == pytest.approx(16 / 24)
    assert named["chars"] == pytest.approx(math.log1p(26) / 8)


@pytest.mark.parametrize("text", ["", " \n", "please", "!!!", "...,,,"])
def test_nothing_to_read_has_no_features(text: str) -> None:
    assert prompt_features(text) == ((0.0,) * len(SURFACE), ())


def test_numbers_alone_have_no_words() -> None:
    named = dict(zip(SURFACE, prompt_features("12 345").surface, strict=True))
    assert named["numbers"] == 1.0
    assert named["word_length"] == named["longest_word"] == 0.0


def test_a_long_word_counts_by_its_start() -> None:
    assert prompt_features("a" * 30 + "b").buckets == prompt_features("a" * 30 + "c").buckets


def test_what_lies_between_the_ends_is_only_counted() -> None:
    one, two = ("start " * 1000 + middle * 1000 + "end " * 1000 for middle in ("left  ", "right "))
    assert prompt_features(one) == prompt_features(two)
    assert prompt_features(one).surface[0] > prompt_features("start " * 200).surface[0]


@given(st.text(max_size=4000))
def test_any_text_has_bounded_features(text: str) -> None:
    surface, buckets = prompt_features(text)
    assert all(0.0 <= value < 3.0 for value in surface)
    assert all(0 <= bucket < BUCKETS for bucket in buckets)
    assert len(set(buckets)) == len(buckets)


def test_lone_surrogates_do_not_raise() -> None:
    assert prompt_features("a \ud800b c").buckets


def test_probability_is_the_sigmoid_of_the_line() -> None:
    features = prompt_features(PROMPT)
    fitted = prior()
    line = fitted.tiers["small"]
    logit = line.bias + sum(a * b for a, b in zip(line.surface, features.surface, strict=True))
    logit += sum(line.buckets[bucket] for bucket in features.buckets) / math.sqrt(len(features.buckets))
    assert line.logit(features) == pytest.approx(logit)
    assert fitted.probabilities(features)["small"] == pytest.approx(1 / (1 + math.exp(-logit)))
    assert list(fitted.probabilities(features)) == ["small", "large"]


def test_a_prompt_without_words_gets_the_bias() -> None:
    line = prior().tiers["small"]
    assert line.logit(prompt_features("")) == line.bias


def test_one_word_counts_by_its_own_weight() -> None:
    line, features = prior().tiers["small"], prompt_features("prove")
    logit = line.bias + sum(a * b for a, b in zip(line.surface, features.surface, strict=True))
    assert line.logit(features) == pytest.approx(logit + line.buckets[features.buckets[0]])


def test_a_prior_read_back_from_json_gives_the_same_bits() -> None:
    fitted = prior()
    again = msgspec.json.decode(msgspec.json.encode(fitted), type=Prior)
    features = prompt_features(PROMPT)
    assert again.probabilities(features) == fitted.probabilities(features)
    check_prior(again)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"feature_version": 0}, "features 0", id="other-features"),
        pytest.param({"tiers": {"small": TierPrior(0.0, (0.0,), (0.0,) * BUCKETS)}}, "'small'", id="surface"),
        pytest.param({"tiers": {"small": TierPrior(0.0, (0.0,) * len(SURFACE), (0.0,))}}, "'small'", id="buckets"),
        pytest.param(
            {"tiers": {"small": TierPrior(math.nan, (0.0,) * len(SURFACE), (0.0,) * BUCKETS)}}, "finite", id="nan"
        ),
    ],
)
def test_an_unusable_prior_is_refused(changed: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_prior(msgspec.structs.replace(prior(), **changed))


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(-1e4) == 0.0
    assert sigmoid(1e4) == 1.0
    assert sigmoid(0.0) == 0.5


def test_a_learner_learns_which_words_are_hard() -> None:
    learner = PriorLearner(["small", "large"])
    easy, hard = prompt_features("what is the capital of France"), prompt_features("prove that the group is abelian")
    assert learner.probability("small", easy) == 0.5
    for _ in range(200):
        learner.update("small", easy, 1.0)
        learner.update("small", hard, 0.0)
    assert learner.labels("small") == 400
    assert learner.labels("large") == 0
    assert learner.probability("small", easy) > 0.8 > 0.2 > learner.probability("small", hard)
    assert learner.probability("large", easy) == 0.5
    learned = learner.prior()
    check_prior(learned)
    assert learned.probabilities(easy)["small"] == pytest.approx(learner.probability("small", easy))


def test_averaged_weights_are_the_mean_over_the_steps() -> None:
    features = prompt_features("prove it")
    learner, seen = PriorLearner(["small"]), []
    for label in (1.0, 0.0, 1.0, 1.0):
        learner.update("small", features, label)
        seen.append(sum(learner._lines["small"]._bias[:1]))
    assert learner.prior().tiers["small"].bias == pytest.approx(sum(seen) / len(seen))


def test_update_gives_the_probability_before_and_weights_count() -> None:
    features = prompt_features("prove it")
    once, twice, still = PriorLearner(["a"]), PriorLearner(["a"]), PriorLearner(["a"])
    assert once.update("a", features, 1.0) == 0.5
    twice.update("a", features, 1.0, weight=2.0)
    still.update("a", features, 1.0, weight=0.0)
    assert twice.probability("a", features) > once.probability("a", features) > 0.5
    assert still.probability("a", features) == 0.5


def test_a_learner_goes_on_from_a_prior() -> None:
    fitted, features = prior(), prompt_features(PROMPT)
    learner = PriorLearner(["small", "large", "new"], start=fitted)
    assert learner.probability("small", features) == fitted.probabilities(features)["small"]
    assert learner.probability("new", features) == 0.5
    assert learner.update("small", prompt_features(""), 1.0) == sigmoid(fitted.tiers["small"].bias)


@pytest.mark.parametrize(("label", "weight"), [(1.1, 1.0), (-0.1, 1.0), (1.0, -1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_unusable_labels_are_refused(label: float, weight: float) -> None:
    with pytest.raises(ValueError, match="label"):
        PriorLearner(["a"]).update("a", prompt_features("x"), label, weight=weight)
