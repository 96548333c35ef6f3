"""The training network computes what transformers' Llama computes, and its batches match the chat template."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import LlamaForCausalLM

from models.abacus.batches import Encoder, collate, slices_of
from models.abacus.context import SYSTEM_MESSAGES, Context, Setting, draw_setting
from models.abacus.export import export
from models.abacus.network import Abacus
from models.abacus.sizes import LARGE, SMALL, VOCABULARY_SIZE
from models.abacus.tasks import training
from models.abacus.tokenizer import load

TOKENIZER = load()
ENCODER = Encoder(TOKENIZER.backend_tokenizer)
PROBLEMS = training(10, seed=9)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_logits_equal_those_of_transformers(size, tmp_path):
    torch.manual_seed(0)
    network = Abacus(size).to(torch.bfloat16).float()
    export(network, size, tmp_path)
    llama = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    tokens = torch.randint(0, VOCABULARY_SIZE, (3, 40))
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(40), indexing="ij")
    with torch.no_grad():
        ours = network(tokens, (rows.flatten(), columns.flatten()))
        theirs = llama(tokens).logits.flatten(0, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def chat_of(problem, earlier, setting):
    turns = []
    if setting.context is Context.SYSTEM:
        turns.append({"role": "system", "content": setting.system})
    if setting.context is Context.TURN:
        turns += [{"role": "user", "content": earlier.prompt}, {"role": "assistant", "content": earlier.answer}]
    return [*turns, {"role": "user", "content": problem.prompt}]


@pytest.mark.parametrize("context", [Context.CHAT, Context.SYSTEM, Context.TURN], ids=str)
def test_examples_are_what_the_chat_template_renders(context):
    setting = Setting(context, SYSTEM_MESSAGES[0] if context is Context.SYSTEM else "")
    examples = ENCODER.encode(PROBLEMS, [setting] * len(PROBLEMS))
    for i, (problem, (ids, start)) in enumerate(zip(PROBLEMS, examples, strict=True)):
        chat = chat_of(problem, PROBLEMS[i - 1], setting)
        asked = TOKENIZER.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        answered = [*chat, {"role": "assistant", "content": problem.answer}]
        assert ids[:start] == asked
        assert ids == TOKENIZER.apply_chat_template(answered, return_dict=False)


def test_plain_examples_are_a_completion_prompt_and_its_answer():
    ((ids, start),) = ENCODER.encode(PROBLEMS[:1], [Setting(Context.PLAIN)])
    assert ids[:start] == TOKENIZER.encode(PROBLEMS[0].prompt)
    assert TOKENIZER.decode(ids[start:], skip_special_tokens=True) == PROBLEMS[0].answer


def test_collate_targets_exactly_the_answers():
    examples = ENCODER.encode(PROBLEMS, [Setting(Context.CHAT)] * len(PROBLEMS))
    part = collate(examples, ENCODER.pad)
    rows, columns = part.positions
    for row, problem in enumerate(PROBLEMS):
        targets = part.targets[rows == row]
        assert TOKENIZER.decode(targets) == f"{problem.answer}<|end|>"
        assert torch.equal(part.tokens[row, columns[rows == row] + 1], targets)


def test_slices_hold_every_example_once():
    examples = ENCODER.encode(PROBLEMS, [Setting(Context.CHAT)] * len(PROBLEMS))
    slices = list(slices_of(examples, ENCODER.pad, 4))
    assert len(slices) == 4
    assert sum(len(part.targets) for part in slices) == sum(len(ids) - start for ids, start in examples)
    assert [part.tokens.shape[1] for part in slices] == sorted(part.tokens.shape[1] for part in slices)


def test_every_context_is_drawn():
    rng = random.Random(0)
    assert {draw_setting(rng).context for _ in range(1000)} == set(Context)
