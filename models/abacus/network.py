"""A minimal Llama in torch for training: the parameter names and arithmetic of transformers' LlamaForCausalLM.

Sequences are padded on the right and attention is causal, so no mask is needed: padding never reaches an
answer. Exported weights load in transformers and vLLM as they are. Imports torch, so import it late.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.abacus.sizes import HEAD_DIM, NORM_EPS, ROPE_THETA, VOCABULARY_SIZE, Size

Rotation = tuple[Tensor, Tensor]


class Norm(nn.Module):  # type: ignore[misc]
    """Root-mean-square normalisation with a learned scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, NORM_EPS)


class Attention(nn.Module):  # type: ignore[misc]
    """Causal multi-head attention with rotary positions."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.heads * HEAD_DIM
        self.heads = size.heads
        self.q_proj = nn.Linear(size.hidden, width, bias=False)
        self.k_proj = nn.Linear(size.hidden, width, bias=False)
        self.v_proj = nn.Linear(size.hidden, width, bias=False)
        self.o_proj = nn.Linear(width, size.hidden, bias=False)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        q, k, v = (self._split(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        mixed = attend(rotate(q, rotation), rotate(k, rotation), v)
        return cast(Tensor, self.o_proj(mixed.transpose(1, 2).flatten(2)))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, HEAD_DIM)).transpose(1, 2)


class FeedForward(nn.Module):  # type: ignore[misc]
    """SwiGLU."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size.hidden, size.feed_forward, bias=False)
        self.up_proj = nn.Linear(size.hidden, size.feed_forward, bias=False)
        self.down_proj = nn.Linear(size.feed_forward, size.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x)))


class Layer(nn.Module):  # type: ignore[misc]
    """One transformer block."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.input_layernorm = Norm(size.hidden)
        self.self_attn = Attention(size)
        self.post_attention_layernorm = Norm(size.hidden)
        self.mlp = FeedForward(size)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation)
        return cast(Tensor, x + self.mlp(self.post_attention_layernorm(x)))


class Trunk(nn.Module):  # type: ignore[misc]
    """Embedding, blocks and final norm: tokens [batch, length] to states [batch, length, hidden]."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY_SIZE, size.hidden)
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.norm = Norm(size.hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        turn = rotation(tokens.shape[1], tokens.device)
        for layer in self.layers:
            x = layer(x, turn)
        return cast(Tensor, self.norm(x))


class Abacus(nn.Module):  # type: ignore[misc]
    """The language model; the output layer is the embedding, so logits are asked for only where needed."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.model = Trunk(size)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02 if "embed" in name else parameter.shape[1] ** -0.5)

    def forward(self, tokens: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
        """Logits [n, vocabulary] at the n (row, column) `positions`."""
        states = self.model(tokens)[positions]
        return functional.linear(states, self.model.embed_tokens.weight)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention in float32: on a CPU the backward pass of short bfloat16 rows is seven times slower."""
    with torch.autocast(q.device.type, enabled=False):
        return functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=True)


def rotation(length: int, device: torch.device) -> Rotation:
    """Cosines and sines of the rotary angles, each [length, HEAD_DIM]."""
    rates = ROPE_THETA ** (-torch.arange(0, HEAD_DIM, 2, device=device).float() / HEAD_DIM)
    angles = torch.outer(torch.arange(length, device=device).float(), rates).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: Rotation) -> Tensor:
    """Turn queries or keys by their positions, halves paired as in transformers."""
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-second, first), dim=-1) * sin.to(x.dtype)
