"""Recorded outcomes: what several models answered to the same prompts, how well and at what cost; one row per prompt.

The schema is that of docs/routing.md: JSON lines in UTF-8, `.gz` or plain, split on `\\n` alone. Bytes in, rows out; a
row that cannot be used is an `OutcomesError` that names file, line, field and fix. Prompts and answers are data, never
instructions.
"""

import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

_GZIP = b"\x1f\x8b"


class OutcomesError(ValueError):
    """Recorded outcomes cannot be used; the message names file, line and field."""


class Outcome(msgspec.Struct, frozen=True):
    """What one model made of one prompt."""

    score: float
    """How good the answer is, in [0, 1]."""
    cost_usd: float | None = None
    """What was billed for it, USD."""
    latency_s: float | None = None
    """To the whole answer, seconds."""
    confidence: float | None = None
    """What the source calls the probability that it is right, in [0, 1], uncalibrated."""
    completion_tokens: int | None = None
    answer: str | None = None


class Row(msgspec.Struct, frozen=True):
    """One prompt and every model's outcome."""

    id: str
    source: str
    task: str
    prompt: str
    outcomes: dict[str, Outcome]
    split: str | None = None
    """The source's own split, if it has one."""


_ROWS = msgspec.json.Decoder(Row)


def read_outcomes(files: Iterable[Path]) -> list[Row]:
    """The rows of all `files`, in their order. Raises `OutcomesError`, for two rows of one id too."""
    rows = [row for file in files for row in _read(file)]
    if not rows:
        raise OutcomesError("no rows: give at least one file with outcomes")
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise OutcomesError(f"id: {row.id!r} is there twice; every prompt needs its own")
        seen.add(row.id)
    return rows


def _read(file: Path) -> list[Row]:
    try:
        raw = file.read_bytes()
        text = gzip.decompress(raw) if raw.startswith(_GZIP) else raw
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise OutcomesError(f"{file}: cannot be read: {error}") from error
    lines = text.split(b"\n")
    return [_row(line, f"{file.name}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]


def _row(line: bytes, place: str) -> Row:
    try:
        row = _ROWS.decode(line)
    except msgspec.DecodeError as error:  # names the field, as `$.outcomes[...].score`
        raise OutcomesError(f"{place}: {error}; docs/routing.md has the schema") from error
    for model, outcome in row.outcomes.items():
        for name, value in (("score", outcome.score), ("confidence", outcome.confidence)):
            if value is not None and not 0.0 <= value <= 1.0:
                raise OutcomesError(f"{place}: outcomes.{model}.{name}: {value} is not in [0, 1]")
        if outcome.cost_usd is not None and not 0.0 <= outcome.cost_usd < float("inf"):
            raise OutcomesError(f"{place}: outcomes.{model}.cost_usd: {outcome.cost_usd} is no price")
    return row


def models_of(rows: Sequence[Row]) -> list[str]:
    """The models that every row has, from the least to the greatest mean score. Raises `OutcomesError` for none."""
    common = set.intersection(*({*row.outcomes} for row in rows))
    if not common:
        raise OutcomesError("outcomes: no model is in every row")
    return sorted(common, key=lambda model: (mean_score(rows, model), model))


def check_models(rows: Sequence[Row], models: Sequence[str]) -> None:
    """Raises `OutcomesError` unless every row has all `models` and each is better than the one before it."""
    for row in rows:
        for model in models:
            if model not in row.outcomes:
                known = ", ".join(sorted(row.outcomes))
                raise OutcomesError(f"{row.id}: has no outcome of {model!r}; it has {known}")
    means = [mean_score(rows, model) for model in models]
    for (weak, low), (strong, high) in zip(
        zip(models, means, strict=True), zip(models[1:], means[1:], strict=True), strict=False
    ):
        if high <= low:
            raise OutcomesError(
                f"--models: {strong} ({high:.4f}) is not better than {weak} ({low:.4f}) on these rows; "
                "name them from weak to strong"
            )


def mean_score(rows: Sequence[Row], model: str) -> float:
    """Over all rows."""
    return sum(row.outcomes[model].score for row in rows) / len(rows)


def costs_of(rows: Sequence[Row], model: str, *, priced: Mapping[str, float] | None = None) -> list[float]:
    """USD per row: as billed, or `priced[model]` each where the source billed nothing. Raises `OutcomesError`."""
    price = (priced or {}).get(model)
    costs = [row.outcomes[model].cost_usd for row in rows]
    if price is not None:
        return [price] * len(rows)
    missing = next((row.id for row, cost in zip(rows, costs, strict=True) if cost is None), None)
    if missing is not None:
        raise OutcomesError(f"{missing}: outcomes.{model}.cost_usd is missing; state a price with --price {model}=USD")
    return [cost for cost in costs if cost is not None]
