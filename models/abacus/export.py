"""Writes a trained network as a Llama checkpoint: config, bf16 safetensors, tokenizer, generation defaults.

Imports torch, so import it late.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.abacus.network import Abacus
from models.abacus.sizes import HEAD_DIM, MAX_POSITIONS, NORM_EPS, ROPE_THETA, VOCABULARY_SIZE, Size
from models.abacus.tokenizer import BOS, END, PAD, VOCABULARY, load


def export(network: Abacus, size: Size, directory: Path) -> None:
    """Write everything transformers and vLLM need to serve `network` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copytree(VOCABULARY, directory, dirs_exist_ok=True)
    ids = special_ids()
    write_json(directory / "config.json", config(size) | ids)
    write_json(directory / "generation_config.json", ids | {"do_sample": False, "max_new_tokens": 32})
    tensors = network.state_dict().items()
    state = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in tensors}
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})


def special_ids() -> dict[str, object]:
    """The ids that start, end and pad a text, under the names of a Hugging Face configuration."""
    names = {"bos_token_id": BOS, "eos_token_id": END, "pad_token_id": PAD}
    tokenizer = load()
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def config(size: Size) -> dict[str, object]:
    """The Llama configuration of one size."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": size.hidden,
        "intermediate_size": size.feed_forward,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_POSITIONS,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
    }


def write_json(path: Path, content: dict[str, object]) -> None:
    """Pretty, stable JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2) + "\n")
