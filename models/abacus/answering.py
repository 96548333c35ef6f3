"""Answers prompts greedily from served weights, in the dtype they are served in. Imports torch, so import it late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import LlamaForCausalLM

from models.abacus.tokenizer import load

MAX_ANSWER_TOKENS = 24
BATCH = 256


class Answerer:
    """One model ready to answer single-turn chats."""

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        self.name = weights.name
        self._device = device
        self._tokenizer = load(weights)
        self._model = LlamaForCausalLM.from_pretrained(weights, dtype=torch.bfloat16).to(device).eval()

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """The greedy answer to each prompt, in order."""
        answers: dict[int, str] = {}
        with tqdm(total=len(prompts), desc=self.name, leave=False) as bar:
            for indexes, tokens in self._batches(prompts):
                answers |= zip(indexes, self._generate(tokens), strict=True)
                bar.update(len(indexes))
        return [answers[index] for index in range(len(prompts))]

    def _batches(self, prompts: Sequence[str]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Prompts of one token length together, so no batch holds padding."""
        by_length: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            ids = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
            )
            by_length[len(ids)].append((index, ids))
        for group in by_length.values():
            for start in range(0, len(group), BATCH):
                part = group[start : start + BATCH]
                yield [index for index, _ in part], torch.tensor([ids for _, ids in part], device=self._device)

    def _generate(self, tokens: torch.Tensor) -> list[str]:
        attended = torch.ones_like(tokens)
        with torch.inference_mode():
            output = self._model.generate(
                tokens, attention_mask=attended, do_sample=False, max_new_tokens=MAX_ANSWER_TOKENS
            )
        return list(self._tokenizer.batch_decode(output[:, tokens.shape[1] :], skip_special_tokens=True))
