"""Training: repeatable steps, a resumed run equal to an uninterrupted one, held-out problems never drawn."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from models.abacus import train
from models.abacus.batches import problems_of_step
from models.abacus.holdout import is_held_out
from models.abacus.problem import Band
from models.abacus.sizes import LARGE, SMALL, Size
from models.abacus.tasks import held_out
from models.abacus.tokenizer import load
from models.abacus.trainer import WARMUP_STEPS, Recipe, Trainer, TrainingError, learning_rate

TINY = Size("tiny", 32, 1, 1, 32, {Band.EASY: 0.5, Band.HARD: 0.5}, steps=6, batch=16, learning_rate=1e-2, descent=0.5)
TOKENIZER = load().backend_tokenizer


def tiny_trainer(out):
    return Trainer(Recipe(TINY, out, torch.device("cpu")), TOKENIZER)


def test_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    straight = tiny_trainer(tmp_path / "straight")
    losses = [straight.advance() for _ in range(6)]

    first = tiny_trainer(tmp_path / "resumed")
    resumed_losses = [first.advance() for _ in range(3)]
    first.save()
    second = tiny_trainer(tmp_path / "resumed")
    second.load()
    resumed_losses += [second.advance() for _ in range(3)]

    assert resumed_losses == losses
    assert second.step == straight.step == 6
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_training_lowers_the_loss(tmp_path):
    trainer = Trainer(Recipe(dataclasses.replace(TINY, steps=200), tmp_path, torch.device("cpu")), TOKENIZER)
    losses = [trainer.advance() for _ in range(60)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_steps_never_hold_a_held_out_problem():
    for size in (SMALL, LARGE):
        for step in range(40):
            problems, settings = problems_of_step(size, 0, step, size.batch)
            assert len(problems) == len(settings) == size.batch
            assert not any(is_held_out(problem.key) for problem in problems)


def test_accuracy_counts_bands_and_families(tmp_path):
    shares = tiny_trainer(tmp_path).accuracy(held_out(20))
    assert {band.value for band in Band} < set(shares)
    assert all(0 <= share <= 1 for share in shares.values())


def test_learning_rate_rises_holds_and_falls_to_zero():
    rates = [learning_rate(step, LARGE) for step in range(LARGE.steps + 1)]
    assert max(rates) == rates[WARMUP_STEPS] == LARGE.learning_rate
    assert rates[0] == LARGE.learning_rate / WARMUP_STEPS
    assert rates[-1] == 0


def test_loading_nothing_or_another_size_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint"):
        tiny_trainer(tmp_path).load()
    tiny_trainer(tmp_path).save()
    wider = dataclasses.replace(TINY, hidden=64)
    with pytest.raises(TrainingError, match="not a checkpoint of"):
        Trainer(Recipe(wider, tmp_path, torch.device("cpu")), TOKENIZER).load()


def test_command_line_trains_logs_exports_and_refuses_to_overwrite(tmp_path, capsys):
    arguments = ["--size", "small", "--steps", "1", "--device", "cpu", "--probes", "5", "--out", str(tmp_path)]
    assert train.main(arguments) == 0
    assert (tmp_path / "weights" / "model.safetensors").exists()
    assert json.loads((tmp_path / "log.jsonl").read_text())["step"] == 1
    assert train.main(arguments) == 2
    assert "add --resume" in capsys.readouterr().err
    assert train.main([*arguments, "--resume"]) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_cuda_is_refused(tmp_path, capsys):
    assert train.main(["--size", "small", "--device", "cuda", "--out", str(tmp_path)]) == 2
    assert "no CUDA device" in capsys.readouterr().err
