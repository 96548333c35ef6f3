"""The catalogue of the client suite: a small model, the same one with a long context, embeddings, and the stand-in.

Coding agents send prompts of many thousand tokens, and Abacus has 1,024 positions. Under a sliding window of a few
tokens every distance stays one it was trained on, so the same weights read prompts of any length: they see the end.
"""

import json
import shutil
from pathlib import Path

import yaml

from tests.clients.asked import EMBED, LONG, SMALL
from tests.cluster.fixtures import engine_entry, hosted_entry
from tests.cluster.weights import abacus_weights

ENGINES = (SMALL, LONG, EMBED)
LONG_CONTEXT = 65_536
WINDOW_TOKENS = 16
LONG_KV_CACHE_BYTES = 256 * 1024**2
CHAT = ["chat", "completions", "responses", "messages", "tokenize", "tools", "json", "logprobs"]


def clients_catalogue(folder: Path, hosted_url: str) -> Path:
    """Write the catalogue and the long model's weights into `folder`."""
    weights = abacus_weights(folder)
    small = engine_entry(SMALL, "small", weights / "abacus-small", CHAT)
    long = engine_entry(LONG, "long", long_weights(weights / "abacus-small", folder / LONG), CHAT)
    long["context_length"] = LONG_CONTEXT
    long["engine"]["args"]["kv-cache-memory-bytes"] = LONG_KV_CACHE_BYTES  # type: ignore[index]
    embed = engine_entry(EMBED, "embed", weights / "abacus-large", ["embeddings", "tokenize"], {"max-num-seqs": 32})
    models = [small, long, embed | {"task": "embed"}, hosted_entry(hosted_url)]
    path = folder / "catalog.yaml"
    path.write_text(yaml.safe_dump({"ladder": ["small", "long", "hosted"], "models": models}))
    return path


def long_weights(source: Path, target: Path) -> Path:
    """A copy of `source` that reads `LONG_CONTEXT` tokens through a window of `WINDOW_TOKENS`."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    config["max_position_embeddings"] = LONG_CONTEXT
    config["sliding_window"] = WINDOW_TOKENS
    config["layer_types"] = ["sliding_attention"] * config["num_hidden_layers"]
    (target / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((target / "tokenizer_config.json").read_text())
    tokenizer["model_max_length"] = LONG_CONTEXT
    (target / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return target
