"""What a tier's own answer says about whether it is right: text, log-probabilities and finish reason → named numbers.

Pure and bounded: of a long prompt or answer head and tail are read. Missing evidence is 0 next to a flag that says
so. Invariant: any change to what is extracted raises `EVIDENCE_VERSION`, which voids fitted posteriors.
Source: facts on routing (docs/routing.md); quantiles rather than sums of log-probabilities: Gupta et al., ICLR 2024.
"""

import re
from collections.abc import Mapping, Sequence
from math import exp, fsum, log, log1p

from routing import structure, workings

EVIDENCE_VERSION = 1

HEAD_CHARS = 1024
"""Read from the start of an answer or a prompt; with `TAIL_CHARS` all that is read of it."""
TAIL_CHARS = 1024

EDGE_TOKENS = 8
"""First and last log-probabilities that are looked at by themselves."""
DECILES = tuple(f"logprob_d{tenth}0" for tenth in range(1, 10))
_DOUBTFUL = -0.7
"""A token of a lower log-probability is one of doubt: less likely than not."""
_LEAST = -30.0

TOKEN_NAMES = (
    *("no_logprobs", "logprob_mean", "logprob_min", *DECILES, "logprob_first", "logprob_last", "logprob_doubtful"),
    *("no_margins", "margin_mean", "margin_min", "tokens", "token_excess"),
    *("cut_off", "filtered", "partial"),
)
TEXT_NAMES = (
    *("prompt_chars", "prompt_words", "prompt_variety", "question_chars", "question_marks", "prompt_sentences"),
    *("answer_chars", "answer_words", "answer_to_prompt", "word_length", "digit_share", "lines", "longest_line"),
    *(
        "paragraphs",
        "repeated_lines",
        "variety",
        "blank_end",
        "bare_lines",
        "hedges",
        "deliberation",
        "single_letters",
        "brackets",
    ),
    *("prompt_covered", "new_words", "question_covered"),
)
NAMES = (*TOKEN_NAMES, *structure.NAMES, *TEXT_NAMES, *workings.NAMES)
"""What `evidence` gives, in order."""

_WORD = re.compile(r"[^\W\d_]+")
_HEDGE = re.compile(
    r"\b(?:however|but|or|perhaps|maybe|probably|unclear|unknown|wait|actually|sorry|mistake|instead|approximately|about"
    r"|round\w*|can(?:'t|not)|information)\b"
)
_DELIBERATION = re.compile(r"\b(?:let|assum\w*|suppose|need to|find out|we know|since|because)\b")
_LETTER = re.compile(r"(?<![\w$'\u2019])[b-hj-z](?![\w'\u2019])", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_SENTENCE_END = re.compile(r"[.!?]\s+")
_LAST_PART = re.compile(r"(?:.*[.!\n])?\s*(.+)", re.DOTALL)


def evidence(
    prompt: str,
    answer: str,
    logprobs: Sequence[float] | None = None,
    finish_reason: str | None = None,
    *,
    margins: Sequence[float] | None = None,
    completion_tokens: int | None = None,
    expected_tokens: float | None = None,
    schema: Mapping[str, object] | None = None,
    tools: Sequence[tuple[str, Mapping[str, object] | None]] = (),
    complete: bool = True,
) -> tuple[float, ...]:
    """One value per name in `NAMES`, all finite, whatever the answer. Never raises for text.

    `logprobs`: natural, of the chosen tokens in order; `margins`: to the runner-up of each, at least 0. Either is None
    or empty where there is none. `expected_tokens`: what the prior expects. `schema` and `tools`: what was asked, see
    `structure`. With `complete` False the answer is the part that has been generated so far: what it ends in may go
    on and is not held against it.
    """
    prompt, answer = excerpt(prompt), excerpt(answer)
    return (
        *_of_tokens(logprobs or (), margins or (), completion_tokens, expected_tokens),
        *(float(finish_reason == "length"), float(finish_reason == "content_filter"), float(not complete)),
        *structure.structure(answer, schema=schema if complete else None, tools=tools if complete else ()),
        *_of_text(prompt, answer),
        *workings.workings(prompt, answer, complete=complete),
    )


def excerpt(text: str) -> str:
    """Head and tail of a long text, a short one whole."""
    return text if len(text) <= HEAD_CHARS + TAIL_CHARS else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def prefix_evidence(
    prompt: str,
    answer: str,
    logprobs: Sequence[float] | None = None,
    *,
    chars: int | None = None,
    tokens: int | None = None,
    margins: Sequence[float] | None = None,
    expected_tokens: float | None = None,
) -> tuple[float, ...]:
    """Evidence of the first `chars` characters and `tokens` tokens of an answer, None for all: what a window holds."""
    return evidence(
        prompt,
        answer[:chars],
        None if logprobs is None else logprobs[:tokens],
        margins=None if margins is None else margins[:tokens],
        completion_tokens=None,
        expected_tokens=expected_tokens,
        complete=False,
    )


def _of_tokens(
    logprobs: Sequence[float], margins: Sequence[float], tokens: int | None, expected: float | None
) -> tuple[float, ...]:
    count = len(logprobs) if tokens is None else tokens
    excess = log((1 + count) / (1 + expected)) if count and expected is not None else 0.0
    return (*_of_logprobs(logprobs), *_of_margins(margins), log1p(count), excess)


def _of_logprobs(logprobs: Sequence[float]) -> tuple[float, ...]:
    if not logprobs:
        return (1.0, *(0.0,) * (5 + len(DECILES)))
    values = [max(_LEAST, min(0.0, value)) for value in logprobs]
    ordered = sorted(values)
    last = len(ordered) - 1
    return (
        *(0.0, _mean(values), ordered[0], *(ordered[tenth * last // 10] for tenth in range(1, 10))),
        *(_mean(values[:EDGE_TOKENS]), _mean(values[-EDGE_TOKENS:]), _mean([value < _DOUBTFUL for value in values])),
    )


def _of_margins(margins: Sequence[float]) -> tuple[float, ...]:
    if not margins:
        return 1.0, 0.0, 0.0
    sure = [1 - exp(-max(0.0, margin)) for margin in margins]
    return 0.0, _mean(sure), min(sure)


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _of_text(prompt: str, answer: str) -> tuple[float, ...]:
    asked, low = prompt.lower(), answer.lower()
    asked_words, words = _WORD.findall(asked), _WORD.findall(low)
    asked_set, word_set = set(asked_words), set(words)
    lines = [line for line in answer.split("\n") if line.strip()]
    body = [line for line in lines if not line.startswith("####")]
    closing = set(_WORD.findall(body[-1].lower())) if body else set()
    question = _question(asked.rstrip())
    question_words = set(_WORD.findall(question))
    return (
        *(log1p(len(prompt)), log1p(len(asked_words)), len(asked_set) / (1 + len(asked_words)), log1p(len(question))),
        *(log1p(asked.count("?")), len(_SENTENCE_END.findall(asked))),
        *(log1p(len(answer)), log1p(len(words)), log((1 + len(answer)) / (1 + len(prompt)))),
        *(sum(map(len, words)) / (1 + len(words)), len(_DIGIT.findall(answer)) / (1 + len(answer)), len(lines)),
        *(log1p(max(map(len, lines), default=0)), answer.strip().count("\n\n"), len(lines) - len(set(lines))),
        *(len(word_set) / (1 + len(words)), len(answer) - len(answer.rstrip()), sum("=" not in line for line in lines)),
        *(len(_HEDGE.findall(low)), len(_DELIBERATION.findall(low)), len(_LETTER.findall(answer)), answer.count("(")),
        *(len(asked_set & word_set) / (1 + len(asked_set)), len(word_set - asked_set) / (1 + len(word_set))),
        len(question_words & closing) / (1 + len(question_words)),
    )


def _question(prompt: str) -> str:
    """What a prompt ends in: its last sentence."""
    match = _LAST_PART.fullmatch(prompt[:-1])
    return match.group(1) if match else prompt
