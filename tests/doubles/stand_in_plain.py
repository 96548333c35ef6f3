"""What the stand-in answers where nothing is generated: counts, tokens, scores. Pure, and the same every time."""

from collections.abc import Callable, Mapping

from tests.doubles.stand_in_wire import Json


def count_tokens(body: Json) -> Json:
    """Anthropic's count: one token a word."""
    return {"input_tokens": _words(body.get("messages", "")) + _words(body.get("system", ""))}


def tokenize(body: Json) -> Json:
    """One token a word, numbered."""
    count = _words(body.get("prompt") or body.get("messages", ""))
    return {"count": count, "max_model_len": 32768, "tokens": list(range(count))}


def rerank(body: Json) -> Json:
    """The documents in their order."""
    documents = body.get("documents", [])
    ranked = documents if isinstance(documents, list) else [documents]
    results = [{"index": index, "relevance_score": 1 / (index + 1)} for index, _ in enumerate(ranked)]
    return {
        "id": "rerank-stand-in",
        "model": "stand-in-1",
        "usage": {"total_tokens": _words(ranked)},
        "results": results,
    }


def score(body: Json) -> Json:
    """One half, whatever is compared."""
    usage = {"prompt_tokens": _words(body), "total_tokens": _words(body)}
    data = [{"index": 0, "object": "score", "score": 0.5}]
    return {"id": "score-stand-in", "object": "list", "model": "stand-in-1", "data": data, "usage": usage}


PLAIN: Mapping[str, Callable[[Json], Json]] = {
    "/v1/messages/count_tokens": count_tokens,
    "/tokenize": tokenize,
    "/v1/rerank": rerank,
    "/v1/score": score,
}
"""Routes by path."""


def _words(value: object) -> int:
    return len(str(value).split())
