"""The committed weights: small enough, of the stated shape, loadable, and as accurate as the ladder needs.

The accuracy here is a quick check on 200 prompts with slack; `python -m models.abacus.evaluate` is the measure.
"""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from models.abacus.evaluate import WEIGHTS, accuracy, in_band, outcomes_of
from models.abacus.export import config
from models.abacus.sizes import SIZES
from models.abacus.tasks import Band, held_out
from models.abacus.tokenizer import VOCABULARY

PARAMETERS = {"abacus-small": (100_000, 400_000), "abacus-large": (1_500_000, 4_000_000)}
NAMES = sorted(PARAMETERS)


@pytest.fixture(scope="module")
def outcomes():
    return outcomes_of(held_out(50, seed=2), WEIGHTS, "cpu")


def test_all_weights_together_are_at_most_12_mb():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 12 * 10**6


@pytest.mark.parametrize("name", NAMES)
def test_parameter_counts_and_dtype(name):
    with safe_open(WEIGHTS / name / "model.safetensors", "pt") as tensors:
        shapes = [tensors.get_slice(key).get_shape() for key in tensors.keys()]  # noqa: SIM118
        assert {tensors.get_slice(key).get_dtype() for key in tensors.keys()} == {"BF16"}  # noqa: SIM118
    low, high = PARAMETERS[name]
    assert low <= sum(torch.Size(shape).numel() for shape in shapes) <= high
    assert all(side % 32 == 0 for shape in shapes for side in shape)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_configuration_is_that_of_the_size(size):
    saved = json.loads((WEIGHTS / size.name / "config.json").read_text())
    assert saved.items() >= json.loads(json.dumps(config(size))).items()


@pytest.mark.parametrize("name", NAMES)
def test_loads_as_a_llama_with_its_tokenizer(name):
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / name)
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / name)
    assert isinstance(model, LlamaForCausalLM)
    assert model.dtype == torch.bfloat16
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    for path in VOCABULARY.iterdir():
        assert (WEIGHTS / name / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("name", "band", "low", "high"),
    [
        ("abacus-small", Band.EASY, 0.90, 1.0),
        ("abacus-small", Band.MEDIUM, 0.25, 0.90),
        ("abacus-small", Band.HARD, 0.0, 0.45),
        ("abacus-small", Band.EXPERT, 0.0, 0.30),
        ("abacus-large", Band.EASY, 0.92, 1.0),
        ("abacus-large", Band.MEDIUM, 0.85, 1.0),
        ("abacus-large", Band.HARD, 0.70, 1.0),
        ("abacus-large", Band.EXPERT, 0.0, 0.30),
    ],
)
def test_accuracy_by_band(outcomes, name, band, low, high):
    assert low <= accuracy(in_band(outcomes, band), name) <= high


@pytest.mark.parametrize("name", NAMES)
def test_a_system_message_and_an_earlier_turn_do_not_derail_easy_answers(name):
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / name)
    model = LlamaForCausalLM.from_pretrained(WEIGHTS / name, dtype=torch.bfloat16)
    right = 0
    problems = [problem for problem in held_out(30, seed=3) if problem.band is Band.EASY]
    for problem in problems:
        chat = [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": problem.prompt},
        ]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = model.generate(**ids, max_new_tokens=24, do_sample=False)
        text = tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        right += text == problem.answer
    assert right >= 0.8 * len(problems)
