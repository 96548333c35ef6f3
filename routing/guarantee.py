"""The promise of a threshold: with probability 1 - δ, what weak answers lose is at most alpha of all traffic.

Fixed-sequence testing with exact bounds (Angelopoulos et al., Learn then Test, arXiv 2110.01052; docs/routing.md), on
rows that both models answered and no estimator has seen. It holds as long as traffic is exchangeable with those rows.
Pure; the only chance is the coin that is passed in.
"""

from collections.abc import Callable, Sequence
from math import exp, fsum, inf, lgamma, log, log1p

import msgspec

DRIFT_PSI = 0.2
"""Population stability index of the confidences beyond which traffic counts as drifted."""
_LEAST_SHARE = 1e-4
"""Of an empty bin, for the index to be finite."""


class Certificate(msgspec.Struct, frozen=True):
    """A threshold and what was promised of it. A weak answer is accepted at a confidence ≥ `threshold`."""

    alpha: float
    """Most that may be lost: mean over all traffic of max(0, strong score - weak score) where the weak one is kept."""
    delta: float
    """Probability that the promise does not hold, over the draw of the rows (and of the coin)."""
    n: int
    """Rows it was certified on."""
    threshold: float
    """Infinite when no weak answer may be accepted."""
    stricter: float
    """What was certified for alpha/2 on the same rows: in force while traffic has drifted or the rows are too old."""
    loss: float
    """Sum of the losses of those rows at `threshold`; a count where scores are 0 or 1."""
    bound: float
    """Upper bound of the risk at `threshold`, at 1 - δ."""
    horizon: int | None = None
    """The promise is for the mean over this many further requests; None: for the expectation."""


def log_choose(n: int, k: int) -> float:
    """The logarithm of "n choose k"."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X ≤ k) of X ~ Binomial(n, p), to 1e-12. `p` in [0, 1]."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    yes, no = log(p), log1p(-p)
    return min(1.0, fsum(exp(log_choose(n, i) + i * yes + (n - i) * no) for i in range(k + 1)))


def upper_bound(k: int, n: int, delta: float) -> float:
    """Clopper-Pearson: the p at which P(X ≤ k) = `delta`, i.e. Beta⁻¹(1 - δ; k + 1, n - k); 1 for k = n."""
    return 1.0 if k >= n else _root(lambda p: binomial_tail(k, n, p) > delta)


def lower_bound(k: int, n: int, delta: float) -> float:
    """Clopper-Pearson from below: Beta⁻¹(δ; k, n - k + 1); 0 for k = 0. Two-sided 95 %: δ = 2.5 % in both."""
    return 0.0 if k <= 0 else _root(lambda p: 1.0 - binomial_tail(k - 1, n, p) < delta)


def _root(is_below: Callable[[float], bool]) -> float:
    """The p in [0, 1] up to which `is_below` holds, to the last bit that bisection can tell."""
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high


def hoeffding_bentkus(mean: float, n: int, alpha: float) -> float:
    """p-value of "the risk exceeds `alpha`" for `n` losses in [0, 1] of this mean (Bates et al., arXiv 2101.02703)."""
    if mean >= alpha:
        return 1.0
    relative = 0.0 if mean <= 0.0 else mean * log(mean / alpha)
    relative += (1 - mean) * log((1 - mean) / (1 - alpha))
    at_most = int(-(-mean * n // 1))
    return min(1.0, exp(-n * relative), exp(1) * binomial_tail(at_most, n, alpha))


def miss_probability(k: int, n: int, alpha: float, horizon: int) -> float:
    """Most that P("accepted at k losses in n rows, yet more than alpha·horizon in the next `horizon`") can be.

    Exact for exchangeable rows: of the first k + m losses in order of confidence, m = ⌊alpha·horizon⌋ + 1, at most k
    fell among the n rows, which is hypergeometric whatever the risk is. What Clopper-Pearson leaves out is that the
    next requests are a sample too.
    """
    drawn = k + int(alpha * horizon + 1e-9) + 1
    if drawn > n + horizon:
        return 0.0
    every = log_choose(n + horizon, drawn)
    possible = range(max(0, drawn - horizon), min(k, n) + 1)
    return min(1.0, fsum(exp(log_choose(n, i) + log_choose(horizon, drawn - i) - every) for i in possible))


def allowed_losses(n: int, alpha: float, delta: float, *, horizon: int | None = None, coin: float = 1.0) -> int:
    """Most losses among `n` rows, of 0 or 1 each, with which a threshold passes; -1 when not even none would do.

    `horizon`: the promise is for the mean over that many further requests, not the expectation (`miss_probability`).
    `coin`, uniform in [0, 1) and drawn before the rows are looked at, makes the test randomised: one loss more passes
    just so often that δ is used up. 1.0: never.
    """

    def miss(k: int) -> float:
        return binomial_tail(k, n, alpha) if horizon is None else miss_probability(k, n, alpha, horizon)

    k = 0
    while k < n and miss(k) <= delta:
        k += 1
    before = miss(k - 1) if k else 0.0
    after = miss(k)
    return k if k < n and coin < (delta - before) / (after - before) else k - 1


def least_rows(alpha: float, delta: float) -> int:
    """Fewest rows that can certify anything: ln δ / ln(1 - alpha), rounded up."""
    return int(-(-log(delta) / log1p(-alpha) // 1))


def certify(
    confidences: Sequence[float],
    losses: Sequence[float],
    thresholds: Sequence[float],
    alpha: float,
    delta: float,
    *,
    horizon: int | None = None,
    coin: float = 1.0,
) -> Certificate:
    """The loosest of `thresholds` for which "the risk is at most `alpha`" can be promised with 1 - `delta`.

    `confidences`, `losses`: (rows,), the loss in [0, 1] of keeping the weak answer. `thresholds`: fixed without looking
    at these rows' losses. Testing goes from strict to loose and stops at the first failure, so each test may use all of
    `delta`, and more thresholds cost nothing. `horizon`, `coin`: see `allowed_losses`. Losses other than 0 and 1 get a
    Hoeffding-Bentkus bound, for the expectation only. Raises `ValueError` for no rows, unequal lengths, values out of
    range.
    """
    _check(confidences, losses, alpha, delta)
    exact = all(loss in (0.0, 1.0) for loss in losses)
    if horizon is not None and not exact:
        raise ValueError("a promise over a horizon needs losses of 0 or 1")
    n = len(losses)
    sums = _running(confidences, losses, sorted(set(thresholds), reverse=True))
    threshold, loss = _loosest(sums, _most(n, alpha, delta, horizon, coin, exact=exact))
    stricter, _ = _loosest(sums, _most(n, alpha / 2, delta, horizon, coin, exact=exact))
    bound = upper_bound(round(loss), n, delta) if exact else _hb_bound(loss / n, n, delta)
    return Certificate(alpha, delta, n, threshold, stricter, loss, bound, horizon)


def _check(confidences: Sequence[float], losses: Sequence[float], alpha: float, delta: float) -> None:
    if not losses or len(losses) != len(confidences):
        raise ValueError(f"{len(confidences)} confidences and {len(losses)} losses: as many of both, and some")
    if not (0.0 < alpha < 1.0 and 0.0 < delta < 1.0):
        raise ValueError(f"alpha {alpha} and delta {delta} must lie between 0 and 1")
    if not all(0.0 <= loss <= 1.0 for loss in losses):
        raise ValueError("losses must lie in [0, 1]")


def _running(
    confidences: Sequence[float], losses: Sequence[float], thresholds: Sequence[float]
) -> list[tuple[float, float]]:
    """For each of the descending `thresholds`, the sum of the losses that it accepts."""
    rows = sorted(zip(confidences, losses, strict=True), reverse=True)
    sums, taken, at = [], [0.0], 0
    for threshold in thresholds:
        while at < len(rows) and rows[at][0] >= threshold:
            if rows[at][1]:
                taken.append(rows[at][1])
            at += 1
        sums.append((threshold, fsum(taken)))
    return sums


def _most(n: int, alpha: float, delta: float, horizon: int | None, coin: float, *, exact: bool) -> float:
    """The greatest sum of losses that passes; negative when none does."""
    if exact:
        return allowed_losses(n, alpha, delta, horizon=horizon, coin=coin)
    if hoeffding_bentkus(0.0, n, alpha) > delta:
        return -1.0
    return n * _root(lambda mean: mean < alpha and hoeffding_bentkus(mean, n, alpha) <= delta)


def _hb_bound(mean: float, n: int, delta: float) -> float:
    return _root(lambda alpha: alpha <= mean or hoeffding_bentkus(mean, n, alpha) > delta)


def _loosest(sums: Sequence[tuple[float, float]], most: float) -> tuple[float, float]:
    """The last threshold before the first whose losses are above `most`, and its losses."""
    best, loss = inf, 0.0
    for threshold, taken in sums:
        if taken > most:
            break
        best, loss = threshold, taken
    return best, loss


def shares(values: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    """Share of `values` in each bin between ascending `edges`: one bin more than edges, each closed below."""
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value >= edge for edge in edges)] += 1
    return tuple(count / len(values) for count in counts)


def stability_index(then: Sequence[float], now: Sequence[float]) -> float:
    """Population stability index of two histograms over the same bins: Σ (now - then)·ln(now/then)."""
    pairs = [(max(a, _LEAST_SHARE), max(b, _LEAST_SHARE)) for a, b in zip(then, now, strict=True)]
    return fsum((b - a) * log(b / a) for a, b in pairs)


class InForce(msgspec.Struct, frozen=True):
    """The threshold to use now, and why it is not the certified one: any of `"drift"`, `"stale"`; empty when it is."""

    threshold: float
    alarms: tuple[str, ...]


def in_force(certificate: Certificate, *, psi: float, age_s: float, longest_age_s: float) -> InForce:
    """The certified threshold, or the stricter one while confidences have drifted or its rows are too old."""
    alarms = (("drift",) if psi > DRIFT_PSI else ()) + (("stale",) if age_s > longest_age_s else ())
    return InForce(certificate.stricter if alarms else certificate.threshold, alarms)
