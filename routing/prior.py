"""The prior: P(a tier's answer is right | prompt), before anything ran. One linear model per tier over hashed words.

Pure Python, microseconds; knows nothing of prices, answers or tasks. White space, letter case and polite words change
no feature, so no decision either. Invariant: the same text gives the same features and the same probabilities to the
last bit on every machine; whatever changes the features raises `PRIOR_FEATURES`, which voids fitted priors.
Source: docs/routing.md, "Prior".
"""

import re
from collections.abc import Mapping, Sequence
from math import exp, fsum, isfinite, log1p, sqrt
from operator import itemgetter, mul
from typing import NamedTuple
from zlib import crc32

import msgspec

PRIOR_FEATURES = 1

BUCKETS = 1 << 16
"""Hash buckets of single words and pairs of neighbours."""
HEAD_CHARS, TAIL_CHARS = 2048, 1024
"""Characters read from the start and the end of a prompt; what lies between is only counted."""

SURFACE = ("chars", "words", "numbers", "symbols", "questions", "word_length", "longest_word")
"""What each surface value measures, in order: about 0 to 1 each."""

_TOKEN = re.compile(
    r"""(?=[^\s!"#',.:;@_`~])(?:[a-z]+[^\W\d_]*|[^\W\d_]+|[0-9]+(?:[.,][0-9]+)*|[-+*/^=%<>|&$\\{}()\[\]?])"""
)
"""A word, a number or a symbol; the look-ahead changes none, with it the same ones are found sooner."""
_POLITE = frozenset(("please", "kindly", "thanks", "thank", "hello", "hi", "dear", "could", "would", "you", "me"))
_SAME = {
    **dict.fromkeys(("calculate", "compute", "determine", "evaluate", "identify", "find", "work"), "find"),
    **dict.fromkeys(("describe", "explain", "discuss", "outline", "summarize", "summarise"), "explain"),
    **dict.fromkeys(("choose", "select", "pick"), "choose"),
    **dict.fromkeys(("write", "compose", "draft", "create", "produce"), "write"),
    **dict.fromkeys(("list", "enumerate", "name"), "list"),
}
"""Instruction verbs that ask for the same thing."""
_REWORDED = _POLITE.union(_SAME)
_LONGEST = 24


class PromptFeatures(NamedTuple):
    """`surface`: one value per name in `SURFACE`; `buckets`: distinct, in order of first use."""

    surface: tuple[float, ...]
    buckets: tuple[int, ...]


def prompt_features(text: str) -> PromptFeatures:
    """The features of one prompt. Never raises, whatever the text."""
    plain = text.lower() if len(text) <= HEAD_CHARS + TAIL_CHARS else _ends(text)
    found = _TOKEN.findall(plain)
    tokens = found
    if not _REWORDED.isdisjoint(found):
        tokens = [_SAME.get(token, token) for token in found if token not in _POLITE]
    if not tokens:
        return PromptFeatures((0.0,) * len(SURFACE), ())
    words = list(filter(str.isalpha, tokens))
    numbers = [token for token in tokens if token[0] in "0123456789"]
    letters, longest = len("".join(words)), max(map(len, words), default=0)
    count, between = len(tokens), max(0, len(text) - HEAD_CHARS - TAIL_CHARS)
    surface = (
        log1p(len("".join(tokens)) + between) / 8,
        sqrt(len(words)) / 16,
        len(numbers) / count,
        (count - len(words) - len(numbers)) / count,
        log1p(tokens.count("?")) / 2,
        letters / (10 * len(words)) if words else 0.0,
        min(longest, _LONGEST) / _LONGEST,
    )
    return PromptFeatures(surface, _buckets(_shaped(tokens) if numbers or longest > _LONGEST else tokens))


def _ends(text: str) -> str:
    """The start and the end of a long text, in lower case, each without its white space before it is cut."""
    head = " ".join(text[: 2 * HEAD_CHARS].split())[:HEAD_CHARS]
    tail = " ".join(text[-2 * TAIL_CHARS :].split())[-TAIL_CHARS:]
    return f"{head}\n{tail}".lower()


def _shaped(tokens: list[str]) -> list[str]:
    """Long numbers by how many digits they have, so that unseen ones are not unseen words; long words cut."""
    return [
        token[:_LONGEST] if token[0] not in "0123456789" else token if len(token) < 2 else f"#{min(len(token), 12)}"
        for token in tokens
    ]


def _buckets(tokens: list[str]) -> tuple[int, ...]:
    """Each token and each pair of neighbours, hashed."""
    encoded = " ".join(tokens).encode("utf-8", "replace").split(b" ")
    singles = list(map(crc32, encoded))
    grams = [*singles, *map(crc32, encoded[1:], singles)]
    return tuple(dict.fromkeys([gram & (BUCKETS - 1) for gram in grams]))


class TierPrior(msgspec.Struct, frozen=True):
    """The fitted line of one tier, in logits."""

    bias: float
    surface: tuple[float, ...]
    buckets: tuple[float, ...]
    """`BUCKETS` weights; each counts once over the root of how many buckets a prompt has."""

    def __post_init__(self) -> None:
        """Equal weights become one object: read from memory, they are found in the cache then (4 times as fast)."""
        known: dict[float, float] = {}
        msgspec.structs.force_setattr(self, "buckets", tuple([known.setdefault(it, it) for it in self.buckets]))

    def logit(self, features: PromptFeatures) -> float:
        """Log-odds that this tier's answer is right."""
        return _logit(self.bias, self.surface, self.buckets, features)

    def probability(self, features: PromptFeatures) -> float:
        """That this tier's answer is right."""
        return sigmoid(self.logit(features))


class Prior(msgspec.Struct, frozen=True):
    """One line per tier, weakest first."""

    feature_version: int
    tiers: dict[str, TierPrior]

    def probabilities(self, features: PromptFeatures) -> dict[str, float]:
        """tier → P(its answer is right)."""
        return {name: tier.probability(features) for name, tier in self.tiers.items()}


def check_prior(prior: Prior) -> None:
    """Raises `ValueError`, naming tier and fix, for a prior that this version cannot use."""
    if prior.feature_version != PRIOR_FEATURES:
        raise ValueError(f"prior: made for features {prior.feature_version}, this is {PRIOR_FEATURES}; fit it again")
    for name, tier in prior.tiers.items():
        if len(tier.surface) != len(SURFACE) or len(tier.buckets) != BUCKETS:
            raise ValueError(f"prior: tier {name!r}: needs {len(SURFACE)} surface and {BUCKETS} bucket weights")
        if not all(map(isfinite, (tier.bias, *tier.surface, *tier.buckets))):
            raise ValueError(f"prior: tier {name!r}: holds a weight that is not finite; fit it again")


def _logit(bias: float, surface: Sequence[float], buckets: Sequence[float], features: PromptFeatures) -> float:
    parts = [bias, *map(mul, surface, features.surface)]
    found = features.buckets
    if len(found) > 1:
        parts.append(fsum(itemgetter(*found)(buckets)) / sqrt(len(found)))
    elif found:
        parts.append(buckets[found[0]])
    return fsum(parts)


def sigmoid(logit: float) -> float:
    """Log-odds → probability, without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + exp(-logit))
    small = exp(logit)
    return small / (1.0 + small)


class PriorLearner:
    """Learns the same lines from labels one at a time: SGD on the log loss with a constant rate, weights averaged.

    `update` costs microseconds: the average is kept lazily, as w - u / t (Bottou 2012; Xu 2011). `start`: a prior to go
    on from; without it, every tier starts at even odds.
    """

    def __init__(self, tiers: Sequence[str], *, start: Prior | None = None, rate: float = 0.5) -> None:
        """`rate`: step per label, over a prompt whose features have length about 1."""
        known: Mapping[str, TierPrior] = start.tiers if start else {}
        self._rate = rate
        self._lines = {name: _Line(known.get(name)) for name in tiers}

    def labels(self, tier: str) -> int:
        """How many `tier` has learned from."""
        return self._lines[tier].steps

    def probability(self, tier: str, features: PromptFeatures) -> float:
        """By the averaged weights."""
        return sigmoid(self._lines[tier].averaged_logit(features))

    def update(self, tier: str, features: PromptFeatures, label: float, *, weight: float = 1.0) -> float:
        """One step. `label`: in [0, 1], soft; `weight`: of this label, such as 1 / propensity. Gives the P before it.

        Raises `ValueError` for a label outside [0, 1] or a weight below 0.
        """
        if not 0.0 <= label <= 1.0 or not 0.0 <= weight < float("inf"):
            raise ValueError(f"a label must be in [0, 1] and its weight finite and not below 0: {label}, {weight}")
        line = self._lines[tier]
        before = sigmoid(line.logit(features))
        line.step(features, self._rate * min(weight, 10.0) * (label - before))
        return before

    def prior(self) -> Prior:
        """What was learned so far, averaged."""
        return Prior(PRIOR_FEATURES, {name: line.averaged() for name, line in self._lines.items()})


class _Line:
    """Weights w of the last step, and u = Σ (step's number - 1) · its change: w - u / t is their average over t."""

    def __init__(self, start: TierPrior | None) -> None:
        self.steps = 0
        self._bias = [start.bias if start else 0.0, 0.0]
        self._surface = [*start.surface] if start else [0.0] * len(SURFACE)
        self._buckets = [*start.buckets] if start else [0.0] * BUCKETS
        self._late_surface = [0.0] * len(SURFACE)
        self._late_buckets = [0.0] * BUCKETS

    def logit(self, features: PromptFeatures) -> float:
        return _logit(self._bias[0], self._surface, self._buckets, features)

    def averaged_logit(self, features: PromptFeatures) -> float:
        late = _logit(self._bias[1], self._late_surface, self._late_buckets, features)
        return self.logit(features) - late / max(1, self.steps)

    def step(self, features: PromptFeatures, change: float) -> None:
        late = float(self.steps)
        self.steps += 1
        self._bias[0] += change
        self._bias[1] += late * change
        for at, value in enumerate(features.surface):
            self._surface[at] += change * value
            self._late_surface[at] += late * change * value
        share = change / sqrt(len(features.buckets) or 1)
        for bucket in features.buckets:
            self._buckets[bucket] += share
            self._late_buckets[bucket] += late * share

    def averaged(self) -> TierPrior:
        count = max(1, self.steps)
        surface = tuple(now - late / count for now, late in zip(self._surface, self._late_surface, strict=True))
        buckets = tuple(now - late / count for now, late in zip(self._buckets, self._late_buckets, strict=True))
        return TierPrior(self._bias[0] - self._bias[1] / count, surface, buckets)
