"""The committed tokenizer: single digits, lossless on any text, short prompts, a tolerant chat template."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from models.abacus.sizes import VOCABULARY_SIZE
from models.abacus.tasks import training
from models.abacus.tokenizer import SPECIAL, VOCABULARY, build, load

TOKENIZER = load()


def templated(messages, **options):
    return TOKENIZER.apply_chat_template(messages, tokenize=False, **options)


def prompt_length(prompt):
    chat = [{"role": "user", "content": prompt}]
    return len(TOKENIZER.apply_chat_template(chat, add_generation_prompt=True, return_dict=False))


def test_prompts_are_8_to_24_tokens():
    lengths = {prompt_length(problem.prompt) for problem in training(1500, seed=3)}
    assert min(lengths) >= 8
    assert max(lengths) <= 24


@settings(deadline=None)
@given(st.integers(0, 10**30))
def test_digits_are_single_tokens(number):
    ids = TOKENIZER.encode(f"x{number} {number}", add_special_tokens=False)
    digits = [token for token in TOKENIZER.convert_ids_to_tokens(ids) if any(c.isdigit() for c in token)]
    assert "".join(digits) == str(number) * 2
    assert all(len(token) == 1 for token in digits)


@settings(deadline=None)
@given(st.text().filter(lambda text: not any(token in text for token in SPECIAL)))
def test_any_text_round_trips(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text


def test_answers_decode_exactly():
    answers = [problem.answer for problem in training(300, seed=4)]
    ids = TOKENIZER(answers, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.batch_decode(ids, skip_special_tokens=True) == answers


def test_every_word_of_the_tasks_is_one_token():
    for problem in training(300, seed=5):
        words = [word for word in problem.prompt.split() if word.isalpha()]
        for word in words[1:]:
            assert len(TOKENIZER.encode(f" {word}", add_special_tokens=False)) == 1, word


def test_a_tokenizer_learned_anew_fits_the_models():
    anew = build()
    assert max(len(anew), len(TOKENIZER)) <= VOCABULARY_SIZE
    assert anew.convert_tokens_to_ids(list(SPECIAL)) == TOKENIZER.convert_tokens_to_ids(list(SPECIAL))


def test_loads_through_auto_tokenizer():
    loaded = AutoTokenizer.from_pretrained(VOCABULARY)
    assert loaded.is_fast
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == ("<|bos|>", "<|end|>", "<|pad|>")
    assert loaded.encode("7") == [loaded.bos_token_id, loaded.convert_tokens_to_ids("7")]


def test_single_turn_template():
    chat = [{"role": "user", "content": "Sort 3 1 2."}]
    assert templated(chat, add_generation_prompt=True) == "<|bos|><|user|>Sort 3 1 2.<|end|><|assistant|>"
    answered = [*chat, {"role": "assistant", "content": "1 2 3"}]
    assert templated(answered) == "<|bos|><|user|>Sort 3 1 2.<|end|><|assistant|>1 2 3<|end|>"


@pytest.mark.parametrize(
    ("message", "rendered"),
    [
        ({"role": "system", "content": "Be brief."}, "<|system|>Be brief.<|end|>"),
        ({"role": "developer", "content": "Be brief."}, "<|system|>Be brief.<|end|>"),
        ({"role": "tool", "content": "7", "tool_call_id": "a"}, "<|tool|>7<|end|>"),
        ({"role": "assistant", "content": None, "tool_calls": []}, "<|assistant|><|end|>"),
        ({"role": "assistant"}, "<|assistant|><|end|>"),
        ({"role": "user", "content": ["3 ", "+ 4"]}, "<|user|>3 + 4<|end|>"),
        ({"role": "user", "content": [{"type": "text", "text": "3 + 4"}]}, "<|user|>3 + 4<|end|>"),
        ({"role": "user", "content": [{"type": "image"}]}, "<|user|><|end|>"),
    ],
    ids=["system", "developer", "tool", "tool calls", "no content", "strings", "text part", "other part"],
)
def test_template_takes_every_role_and_content(message, rendered):
    assert templated([message]) == f"<|bos|>{rendered}"
