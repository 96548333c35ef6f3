"""The tokenizer: byte-level BPE over the templates' own words, every digit its own token, and a chat template.

Any text tokenizes and decodes back unchanged. Both models share the committed one in `vocabulary/`;
`python -m models.abacus.tokenizer` learns it anew from the templates as they are then, after which both models
must be trained anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from models.abacus.context import SYSTEM_MESSAGES
from models.abacus.sizes import VOCABULARY_SIZE
from models.abacus.tasks import Band, draw, families_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
SYSTEM, USER, ASSISTANT, TOOL = "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"
SPECIAL = (PAD, BOS, END, SYSTEM, USER, ASSISTANT, TOOL)
DRAWS_PER_FAMILY = 2000
VOCABULARY = Path(__file__).parent / "vocabulary"

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}{{ content }}
{%- elif content is iterable and content is not mapping -%}
{%- for part in content -%}{{ part if part is string else part.text or '' }}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role in ['system', 'developer'] -%}{{- '<|system|>' -}}
{%- elif message.role == 'assistant' -%}{{- '<|assistant|>' -}}
{%- elif message.role in ['tool', 'function'] -%}{{- '<|tool|>' -}}
{%- else -%}{{- '<|user|>' -}}
{%- endif -%}
{{- text(message.content) + '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def corpus(seed: int = 0) -> Iterator[str]:
    """Prompts and answers of every family and band, training side only, and the system messages."""
    rng = random.Random(f"tokenizer:{seed}")
    for band in Band:
        for family in families_of(band):
            for _ in range(DRAWS_PER_FAMILY):
                problem = draw(rng, family, band)
                yield problem.prompt
                yield problem.answer
    for message in SYSTEM_MESSAGES:
        yield from [message] * DRAWS_PER_FAMILY


def load(directory: Path = VOCABULARY) -> PreTrainedTokenizerFast:
    """The committed tokenizer, or the one beside some weights."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(directory)


def build() -> PreTrainedTokenizerFast:
    """Learn the merges and wrap them for transformers and vLLM."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.Split(Regex(r" ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
        padding_side="left",
    )


def save(directory: Path) -> None:
    """Learn the tokenizer and write it, named for transformers 4 and 5 alike."""
    build().save_pretrained(directory)
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    save(VOCABULARY)
