"""Linear models in numpy: logistic and ridge regression on dense rows, logistic regression on sparse ones.

Labels are soft, in [0, 1]: a label y is y of "true" and 1 - y of "false". All minimise the weighted sum of losses plus
l2 / 2 times the squared weights; the bias is free. Deterministic: the same rows give the same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NEWTON_STEPS = 50
NEWTON_TOLERANCE = 1e-9
"""Of the largest change in a weight."""
HISTORY = 10
"""Pairs of steps that L-BFGS remembers."""
_SUFFICIENT = 1e-4
"""Of the promised decrease, for a step to be taken (Armijo)."""
_LEAST_STEP = 1e-10


@dataclass(frozen=True, slots=True)
class Sparse:
    """Compressed rows: row i holds `data[starts[i]:starts[i + 1]]` at `columns[...]`; `width`: how many columns."""

    starts: Integers
    columns: Integers
    data: Floats
    width: int

    @property
    def rows(self) -> int:
        return len(self.starts) - 1

    @property
    def row_of(self) -> Integers:
        """(entries,): the row of each entry."""
        return np.repeat(np.arange(self.rows), np.diff(self.starts))

    def times(self, vector: Floats) -> Floats:
        """(width,) → (rows,)."""
        return sums_at(self.row_of, self.data * vector[self.columns], self.rows)

    def transposed_times(self, vector: Floats) -> Floats:
        """(rows,) → (width,)."""
        return sums_at(self.columns, self.data * vector[self.row_of], self.width)

    def take(self, rows: Integers) -> "Sparse":
        """These rows, in this order."""
        lengths = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        at = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return Sparse(starts, self.columns[at], self.data[at], self.width)

    def scaled(self, rows: Floats, columns: Floats) -> "Sparse":
        """Every entry times the factor of its row, (rows,), and of its column, (width,)."""
        data = self.data * rows[self.row_of] * columns[self.columns]
        return Sparse(self.starts, self.columns, data, self.width)


def sparse_rows(rows: Sequence[Sequence[int]], *, width: int) -> Sparse:
    """Ones at the given columns of each row. Raises `ValueError` for a column outside 0 … `width` - 1."""
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    if len(columns) and not 0 <= columns.min() <= columns.max() < width:
        raise ValueError(f"a column is outside 0 ... {width - 1}")
    return Sparse(starts, columns, np.ones(len(columns)), width)


def sums_at(places: Integers, values: Floats, size: int) -> Floats:
    """(size,): the sum of the `values` at each of the `places`, in their order."""
    return np.asarray(np.bincount(places, weights=values, minlength=size), dtype=np.float64)


def sigmoid(logit: Floats) -> Floats:
    """Without overflow."""
    small: Floats = np.exp(-np.abs(logit))
    return np.where(logit >= 0, np.ones_like(small), small) / (1.0 + small)


def logistic_loss(logit: Floats, y: Floats, weights: Floats) -> float:
    """Weighted sum of the log losses of soft labels."""
    return float(weights @ (np.logaddexp(0.0, logit) - y * logit))


def fit_logistic(x: Floats, y: Floats, *, l2: float, weights: Floats | None = None) -> tuple[Floats, float]:
    """Logistic regression by damped Newton steps.

    `x`: (rows, columns), dense; `y`: (rows,) in [0, 1]; `weights`: (rows,) ≥ 0, 1 by default. Gives (columns,) weights
    and the bias. Raises `ValueError` for no rows, labels outside [0, 1] or `l2` < 0.
    """
    share = _check(y, l2, weights)
    rows = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.full(rows.shape[1], l2)
    penalty[-1] = 0.0
    beta = np.zeros(rows.shape[1])
    beta[-1] = _start(y, share)

    def loss(at: Floats) -> float:
        return logistic_loss(rows @ at, y, share) + 0.5 * float(penalty @ (at * at))

    for _ in range(NEWTON_STEPS):
        p = sigmoid(rows @ beta)
        gradient = rows.T @ (share * (p - y)) + penalty * beta
        hessian = (rows.T * (share * p * (1 - p))) @ rows
        hessian[np.diag_indices_from(hessian)] += penalty + 1e-9
        step = np.linalg.solve(hessian, gradient)
        size = _backtracked(loss, beta, -step, gradient)
        beta = beta - size * step
        if float(np.abs(size * step).max()) < NEWTON_TOLERANCE:
            break
    return beta[:-1], float(beta[-1])


def fit_ridge(x: Floats, y: Floats, *, l2: float, weights: Floats | None = None) -> tuple[Floats, float]:
    """Least squares with a free bias; shapes and errors as `fit_logistic`, but `y` may be any number.

    Minimises half the weighted sum of squares plus l2 / 2 times the squared weights.
    """
    share = np.ones(len(y)) if weights is None else weights
    if not len(y) or l2 < 0:
        raise ValueError("ridge regression needs rows and l2 >= 0")
    mean_x, mean_y = share @ x / share.sum(), float(share @ y / share.sum())
    centred = x - mean_x
    gram = (centred.T * share) @ centred
    gram[np.diag_indices_from(gram)] += l2 + 1e-12
    beta = np.linalg.solve(gram, centred.T @ (share * (y - mean_y)))
    return beta, mean_y - float(mean_x @ beta)


def fit_logistic_sparse(
    rows: Sparse, y: Floats, *, l2: float, weights: Floats | None = None, steps: int = 100, tolerance: float = 1e-4
) -> tuple[Floats, float]:
    """Logistic regression on sparse rows by L-BFGS; labels, weights and errors as `fit_logistic`.

    Stops after `steps` or once no gradient exceeds `tolerance` times the rows' weight. Gives (width,) weights, bias.
    """
    share = _check(y, l2, weights)
    row_of, width = rows.row_of, rows.width

    def loss_of(beta: Floats) -> tuple[float, Floats]:
        logit = sums_at(row_of, rows.data * beta[rows.columns], rows.rows) + beta[-1]
        missed = share * (sigmoid(logit) - y)
        gradient = np.empty(width + 1)
        gradient[:-1] = sums_at(rows.columns, rows.data * missed[row_of], width)
        gradient[:-1] += l2 * beta[:-1]
        gradient[-1] = missed.sum()
        return logistic_loss(logit, y, share) + 0.5 * l2 * float(beta[:-1] @ beta[:-1]), gradient

    start = np.zeros(width + 1)
    start[-1] = _start(y, share)
    beta = minimise(loss_of, start, steps=steps, tolerance=tolerance * float(share.sum()) / len(y))
    return beta[:-1], float(beta[-1])


def fit_ridge_sparse(
    rows: Sparse, y: Floats, *, l2: float, weights: Floats | None = None, steps: int = 50, tolerance: float = 1e-5
) -> tuple[Floats, float]:
    """Least squares with a free bias on sparse rows, as `fit_ridge`, by at most `steps` of conjugate gradients.

    Stops once the gradient's length is `tolerance` of what it was at the start: at zero weights and the mean `y`.
    """
    share = np.ones(len(y)) if weights is None else weights
    if not len(y) or l2 <= 0:
        raise ValueError("ridge regression on sparse rows needs rows and l2 > 0")
    row_of, total, width = rows.row_of, float(share.sum()), rows.width
    mean_y = float(share @ y) / total

    def back(values: Floats) -> Floats:
        return sums_at(rows.columns, rows.data * values[row_of], width)

    def forth(beta: Floats) -> Floats:
        return sums_at(row_of, rows.data * beta[rows.columns], rows.rows)

    mean_x = back(share) / total
    beta = np.zeros(width)
    left = back(share * (y - mean_y))
    direction, size = left.copy(), float(left @ left)
    enough = size * tolerance * tolerance
    for _ in range(steps):
        if size <= enough:
            break
        moved = forth(direction)
        bent = back(share * (moved - float(mean_x @ direction))) + l2 * direction
        step = size / float(direction @ bent)
        beta += step * direction
        left -= step * bent
        size, before = float(left @ left), size
        direction = left + size / before * direction
    return beta, mean_y - float(mean_x @ beta)


def minimise(
    loss_of: Callable[[Floats], tuple[float, Floats]], start: Floats, *, steps: int, tolerance: float
) -> Floats:
    """The least of a smooth convex function by L-BFGS (Nocedal 1980). `loss_of`: place → loss, gradient."""
    at, (loss, gradient) = start, loss_of(start)
    moves: list[tuple[Floats, Floats]] = []
    for _ in range(steps):
        if float(np.abs(gradient).max()) <= tolerance:
            break
        direction = -_inverse_times(moves, gradient)
        size, promised = 1.0, _SUFFICIENT * float(gradient @ direction)
        after = at + direction
        lower, slope = loss_of(after)
        while lower > loss + size * promised and size > _LEAST_STEP:
            size /= 2
            after = at + size * direction
            lower, slope = loss_of(after)
        if size <= _LEAST_STEP:
            break
        if float((after - at) @ (slope - gradient)) > 0:
            moves = [*moves[1 - HISTORY :], (after - at, slope - gradient)]
        at, loss, gradient = after, lower, slope
    return at


def _inverse_times(moves: Sequence[tuple[Floats, Floats]], gradient: Floats) -> Floats:
    """L-BFGS's two loops: the remembered inverse Hessian times the gradient."""
    vector, shares = gradient.copy(), []
    for moved, bent in reversed(moves):
        share = float(moved @ vector) / float(moved @ bent)
        vector -= share * bent
        shares.append(share)
    if moves:
        moved, bent = moves[-1]
        vector *= float(moved @ bent) / float(bent @ bent)
    else:
        vector /= max(1.0, float(np.linalg.norm(gradient)))
    for (moved, bent), share in zip(moves, reversed(shares), strict=True):
        vector += (share - float(bent @ vector) / float(moved @ bent)) * moved
    return vector


def _backtracked(loss: Callable[[Floats], float], at: Floats, direction: Floats, gradient: Floats) -> float:
    """The first of 1, 1/2, 1/4 … that lowers the loss enough; 0 when none does."""
    here, slope, size = loss(at), float(gradient @ direction), 1.0
    while size > _LEAST_STEP:
        if loss(at + size * direction) <= here + _SUFFICIENT * size * slope:
            return size
        size /= 2
    return 0.0


def _start(y: Floats, share: Floats) -> float:
    """The bias that fits the mean label, kept finite."""
    mean = min(max(float(share @ y / share.sum()), 1e-6), 1 - 1e-6)
    return float(np.log(mean / (1 - mean)))


def _check(y: Floats, l2: float, weights: Floats | None) -> Floats:
    if not len(y) or l2 < 0 or float(y.min()) < 0 or float(y.max()) > 1:
        raise ValueError("logistic regression needs rows, labels in [0, 1] and l2 >= 0")
    return np.ones(len(y)) if weights is None else weights
