"""Fits the difficulty score to recorded outcomes: `python -m routing.fit --outcomes FILE --out FILE`.

A script, so it reads and writes files. Rows are split by a hash of their prompt into fit (80 %), calibration (10 %) and
test (10 %); the weights see only the first, calibration and threshold only the second, and the figures it prints and
records come from the third. Same outcomes, settings and Python: same bytes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from routing.difficulty import LinearDifficulty, TierWeights
from routing.features import Features, features
from routing.fitted import DEFAULT_FILE, encode
from routing.judging import Ladder, auroc, calibration_error, choose_threshold, judge_ladder
from routing.logistic import Training, calibrate, fit_weights

DEFAULT_TIERS = {"small": "abacus-small", "large": "abacus-large"}
MIN_ROWS = 20
"""Fewest rows per part that say anything."""


class OutcomesError(ValueError):
    """The outcomes cannot be used; the message names file, line and field."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prompt, and which tiers answered it right."""

    prompt: str
    band: str
    right: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Report:
    """Figures on the test rows. `tiers`: tier → accuracy, auroc, auroc_of_length (the baseline), calibration_error."""

    tiers: Mapping[str, Mapping[str, float]]
    ladder: Ladder
    bands: Mapping[str, Ladder]


def read_outcomes(document: str, tiers: Mapping[str, str], *, file: str) -> list[Outcome]:
    """Parse JSON lines `{prompt, band, <model>: {right}}`. `tiers`: tier → model. Raises `OutcomesError`."""
    lines = enumerate(document.splitlines(), start=1)
    return [_outcome(line, tiers, f"{file}:{number}") for number, line in lines if line.strip()]


def _outcome(line: str, tiers: Mapping[str, str], place: str) -> Outcome:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise OutcomesError(f"{place}: not valid JSON: {error}") from error
    prompt = row.get("prompt") if isinstance(row, dict) else None
    if not isinstance(prompt, str):
        raise OutcomesError(f"{place}: prompt: must be a string")
    return Outcome(prompt, str(row.get("band", "all")), {tier: _right(row, tiers[tier], place) for tier in tiers})


def _right(row: Mapping[str, Any], model: str, place: str) -> bool:
    outcome = row.get(model)
    right = outcome.get("right") if isinstance(outcome, dict) else None
    if not isinstance(right, bool):
        raise OutcomesError(f"{place}: {model}.right: must be true or false")
    return right


def split(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome], list[Outcome]]:
    """Fit, calibration and test rows. A prompt falls on the same side in every run. Raises `OutcomesError`."""
    parts: tuple[list[Outcome], list[Outcome], list[Outcome]] = ([], [], [])
    for outcome in outcomes:
        draw = blake2b(outcome.prompt.encode("utf-8", "surrogatepass"), digest_size=8).digest()[0] % 10
        parts[max(0, draw - 7)].append(outcome)
    if min(map(len, parts)) < MIN_ROWS:
        raise OutcomesError(f"{len(outcomes)} outcomes are too few: {MIN_ROWS} must fall into each tenth")
    return parts


def fit(
    outcomes: Sequence[Outcome], tiers: Sequence[str], *, target: float, version: str, training: Training
) -> tuple[LinearDifficulty, Report]:
    """Fit, calibrate, choose the threshold and judge. `tiers`: from cheapest to dearest."""
    fitting, calibration, test = split(outcomes)
    weights = {tier: _fit_tier(tier, fitting, calibration, training) for tier in tiers}
    uncut = LinearDifficulty(version, weights, threshold=0.0)
    scores = [uncut.score(row.prompt) for row in calibration]
    chosen = choose_threshold(scores, [row.right for row in calibration], tiers, target)
    difficulty = LinearDifficulty(version, weights, chosen.threshold)
    return difficulty, judge(difficulty, test, tiers)


def _fit_tier(tier: str, fitting: list[Outcome], calibration: list[Outcome], training: Training) -> TierWeights:
    raw = fit_weights(_features(fitting), [row.right[tier] for row in fitting], training)
    logits = [raw.logit(given) for given in _features(calibration)]
    slope, offset = calibrate(logits, [row.right[tier] for row in calibration])
    return TierWeights(raw.bias, raw.surface, raw.buckets, slope, offset)


def _features(outcomes: Sequence[Outcome]) -> list[Features]:
    return [features(outcome.prompt) for outcome in outcomes]


def judge(difficulty: LinearDifficulty, rows: Sequence[Outcome], tiers: Sequence[str]) -> Report:
    """Figures of `difficulty` on rows it was not fitted on."""
    scores = [difficulty.score(row.prompt) for row in rows]
    return Report(
        tiers={tier: _judge_tier(tier, scores, rows) for tier in tiers},
        ladder=judge_ladder(scores, [row.right for row in rows], tiers, difficulty.threshold),
        bands={band: _judge_band(band, scores, rows, tiers, difficulty.threshold) for band in _bands(rows)},
    )


def _bands(rows: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(row.band for row in rows))


def _judge_band(
    band: str, scores: Sequence[Mapping[str, float]], rows: Sequence[Outcome], tiers: Sequence[str], threshold: float
) -> Ladder:
    pairs = [(score, row.right) for score, row in zip(scores, rows, strict=True) if row.band == band]
    return judge_ladder([score for score, _ in pairs], [right for _, right in pairs], tiers, threshold)


def _judge_tier(tier: str, scores: Sequence[Mapping[str, float]], rows: Sequence[Outcome]) -> dict[str, float]:
    given, right = [score[tier] for score in scores], [row.right[tier] for row in rows]
    return {
        "accuracy": sum(right) / len(right),
        "auroc": auroc(given, right),
        "auroc_of_length": auroc([-len(row.prompt) for row in rows], right),
        "calibration_error": calibration_error(given, right),
    }


def table(report: Report) -> str:
    """The report as lines of text."""
    rows: list[tuple[str, ...]] = [("tier", "right", "AUROC", "of length", "ECE")]
    rows += [(tier, *(f"{value:.3f}" for value in figures.values())) for tier, figures in report.tiers.items()]
    ladders = {"all": report.ladder, **report.bands}
    shares = list(report.ladder.share)
    rows += [(f"start at P >= {report.ladder.threshold:.2f}", "right", *shares)]
    rows += [(band, *(f"{value:.3f}" for value in (it.accuracy, *it.share.values()))) for band, it in ladders.items()]
    return "\n".join(
        "  ".join(f"{cell:<18}" if not at else f"{cell:>9}" for at, cell in enumerate(row)) for row in rows
    )


def _record(report: Report, outcomes: bytes, tiers: Mapping[str, str], training: Training) -> dict[str, object]:
    """What the file says about its own making; figures rounded, so that readers can compare them."""
    figures = json.loads(
        json.dumps(asdict(report)).replace("NaN", "null"), parse_float=lambda text: round(float(text), 4)
    )
    return {
        "outcomes_sha256": sha256(outcomes).hexdigest(),
        "models": dict(tiers),
        "training": asdict(training),
        "test": figures,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Read, fit, write, print. Returns the exit code: 0, or 2 when the input cannot be used."""
    options = _options(argv)
    tiers = dict(pair.split("=", 1) for pair in options.tier) or DEFAULT_TIERS
    training = Training(buckets=options.buckets, epochs=options.epochs, seed=options.seed)
    try:
        raw = options.outcomes.read_bytes()
        outcomes = read_outcomes(raw.decode(), tiers, file=str(options.outcomes))
        difficulty, report = fit(
            outcomes, list(tiers), target=options.target, version=options.version, training=training
        )
    except (OSError, ValueError) as error:
        print(f"fit: {error}", file=sys.stderr)
        return 2
    options.out.write_bytes(encode(difficulty, record=_record(report, raw, tiers, training)))
    print(table(report))
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    default = Training()
    parser = argparse.ArgumentParser(prog="routing.fit", description="Fit the difficulty score to recorded outcomes.")
    parser.add_argument("--outcomes", type=Path, required=True, help="JSON lines: prompt, band, <model>: {right}")
    parser.add_argument("--out", type=Path, default=DEFAULT_FILE, help="the fitted file to write")
    parser.add_argument("--tier", type=_pair, action="append", default=[], help="TIER=MODEL, cheapest first; repeat")
    parser.add_argument("--target", type=float, default=0.9, help="share right wanted of prompts kept on the ladder")
    parser.add_argument("--version", default="abacus-1", help="name of this fit in headers and logs")
    parser.add_argument("--buckets", type=int, default=default.buckets, help="hash buckets, a power of two")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--seed", type=int, default=default.seed)
    return parser.parse_args(argv)


def _pair(text: str) -> str:
    tier, _, model = text.partition("=")
    if not tier or not model:
        raise argparse.ArgumentTypeError(f"{text!r} must be TIER=MODEL, e.g. small=abacus-small")
    return text


if __name__ == "__main__":  # pragma: no cover
    raise SystemExit(main())
