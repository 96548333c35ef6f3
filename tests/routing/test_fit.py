"""The fit, end to end on made-up outcomes for real Abacus prompts: it learns, repeats itself, and refuses bad input."""

import json
import random
from pathlib import Path

import pytest

from models.abacus.tasks import Band, training
from routing.fit import DEFAULT_TIERS, OutcomesError, fit, main, read_outcomes, split, table
from routing.fitted import decode
from routing.logistic import Training

P_RIGHT = {Band.EASY: (0.95, 0.99), Band.MEDIUM: (0.3, 0.95), Band.HARD: (0.05, 0.9), Band.EXPERT: (0.02, 0.05)}
TIERS = ("small", "large")
QUICK = Training(buckets=1024, epochs=3)


@pytest.fixture(scope="module")
def made_up() -> str:
    """Outcomes of two imagined models, by band, for prompts of the training side."""
    rng = random.Random(0)
    lines = []
    for problem in training(400):
        small, large = (rng.random() < p for p in P_RIGHT[problem.band])
        row = {"prompt": problem.prompt, "band": problem.band, "answer": problem.answer}
        lines.append(json.dumps({**row, "abacus-small": {"right": small}, "abacus-large": {"right": large}}))
    return "\n".join(lines) + "\n"


def test_learns_where_each_model_is_right(made_up: str) -> None:
    outcomes = read_outcomes(made_up, DEFAULT_TIERS, file="f")
    difficulty, report = fit(outcomes, TIERS, target=0.85, version="t", training=QUICK)
    for figures in report.tiers.values():
        assert figures["auroc"] > max(0.75, figures["auroc_of_length"])
        assert figures["calibration_error"] < 0.2
    assert sum(report.ladder.share.values()) == pytest.approx(1.0)
    assert report.bands["expert"].share["beyond"] > report.bands["easy"].share["beyond"]
    assert difficulty.score("Double 123.").keys() == set(TIERS)
    assert "expert" in table(report)


def test_the_same_outcomes_give_the_same_bytes(
    made_up: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = tmp_path / "outcomes.jsonl"
    outcomes.write_text(made_up)
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        arguments = ["--outcomes", str(outcomes), "--out", str(file), "--epochs", "2", "--buckets", "512"]
        assert main(arguments) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    fitted = decode(files[0].read_bytes(), file="one.json")
    assert list(fitted.tiers) == ["small", "large"]
    assert len(fitted.tiers["small"].buckets) == 512
    assert "AUROC" in capsys.readouterr().out


def test_other_tiers_can_be_named(made_up: str, tmp_path: Path) -> None:
    outcomes, out = tmp_path / "outcomes.jsonl", tmp_path / "one.json"
    outcomes.write_text(made_up)
    arguments = ["--outcomes", str(outcomes), "--out", str(out), "--epochs", "1", "--tier", "tiny=abacus-small"]
    assert main(arguments) == 0
    assert list(decode(out.read_bytes(), file="one.json").tiers) == ["tiny"]


@pytest.mark.parametrize("tier", ["small", "small=", "=abacus-small"])
def test_a_tier_without_a_model_is_refused(tier: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--outcomes", "any", "--tier", tier])
    assert exit_.value.code == 2
    assert "must be TIER=MODEL" in capsys.readouterr().err


def test_a_prompt_always_falls_on_the_same_side(made_up: str) -> None:
    outcomes = read_outcomes(made_up, DEFAULT_TIERS, file="f")
    parts = split(outcomes)
    assert parts == split(outcomes)
    assert sum(map(len, parts)) == len(outcomes)
    assert len(parts[0]) > 4 * max(len(parts[1]), len(parts[2]))
    assert not {row.prompt for row in parts[0]} & {row.prompt for row in (*parts[1], *parts[2])}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "f:2: not valid JSON"),
        ("[]", "f:2: prompt: must be a string"),
        ('{"prompt": 3}', "f:2: prompt: must be a string"),
        ('{"prompt": "p"}', "f:2: abacus-small.right: must be true or false"),
        ('{"prompt": "p", "abacus-small": {"right": 1}}', "f:2: abacus-small.right: must be true or false"),
    ],
    ids=["broken", "not an object", "prompt not text", "model missing", "verdict not a boolean"],
)
def test_bad_outcomes_are_refused_with_file_line_and_field(line: str, message: str) -> None:
    with pytest.raises(OutcomesError) as caught:
        read_outcomes(f"\n{line}", DEFAULT_TIERS, file="f")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("content", [None, "{", ""], ids=["no such file", "not JSON", "too few"])
def test_unusable_input_exits_with_2_and_writes_nothing(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes, out = tmp_path / "outcomes.jsonl", tmp_path / "out.json"
    if content is not None:
        outcomes.write_text(content)
    assert main(["--outcomes", str(outcomes), "--out", str(out)]) == 2
    assert not out.exists()
    assert capsys.readouterr().err.startswith("fit: ")
