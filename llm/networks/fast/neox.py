"""GPT-NeoX with less overhead: the same numbers, bit for bit, from fewer and larger operations.

At small sizes a step is bound by the number of operations rather than by arithmetic, and the library's rotary
embedding alone is some thirty of them per block, forward and backward. Modules, their names and their hooks
stay; only what attention and the rotary table compute between them is replaced.
"""

from __future__ import annotations

import types
from typing import Any

import torch

__all__ = ["RotaryTable", "hidden_states", "rotate", "streamline"]


def streamline(model: Any) -> None:
    """Replace attention and rotary table of a GPT-NeoX model by the forms below, in place."""
    base = model.base_model
    base.rotary_emb = RotaryTable(base.rotary_emb)
    for layer in base.layers:
        layer.attention.forward = types.MethodType(_attention, layer.attention)


def hidden_states(base: Any, tokens: torch.Tensor) -> torch.Tensor:
    """What the output layer reads, shape ``(B, C, d)``, for a streamlined model.

    Modules are called as the library does; what it does around them (masks, caches, records of every layer)
    is left out, and takes a tenth of a small model's step.

    Args:
        base: the network below the output layer.
        tokens: int64, shape ``(B, C)``.
    """
    hidden = base.emb_dropout(base.embed_in(tokens))
    table = base.rotary_emb(hidden, position_ids=tokens)  # of which only the length counts
    for layer in base.layers:
        hidden = layer(hidden, position_embeddings=table)
    return base.final_layer_norm(hidden)


class RotaryTable(torch.nn.Module):
    """Cosines and sines of every position, computed once: positions always count from 0 here.

    Args:
        original: the library's module.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.original = original
        self._tables: dict[tuple[int, torch.device], tuple[torch.Tensor, torch.Tensor]] = {}

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Shape ``(C, 1, 1, r/2)`` each, for r rotated dimensions of a head."""
        key = position_ids.shape[-1], x.device
        if key not in self._tables:
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(x.device.type, enabled=False):
                positions = torch.arange(key[0], device=x.device)[None]
                cos, sin = self.original(x.new_zeros((), dtype=torch.float32), positions)
                half = cos.shape[-1] // 2
                self._tables[key] = tuple(t[0, :, None, None, :half].contiguous() for t in (cos, sin))
        return self._tables[key]


class _Split(torch.autograd.Function):
    """Rotated queries and keys, and values, from the joint projection.

    The joint projection's result is rotated where it lies and its gradient is gathered where it is rotated
    back, so neither is ever copied.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`qkv` has shape ``(B, C, heads, 3, d)``; the three results ``(B, heads, C, d)``."""
        ctx.save_for_backward(cos, sin)
        _turn(qkv, cos, sin)
        query, key, value = qkv.permute(3, 0, 2, 1, 4).unbind(0)
        return query, key, value

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """By the opposite angle."""
        cos, sin = ctx.saved_tensors
        joint = torch.stack([g.transpose(1, 2) for g in gradients], 3)
        _turn(joint, cos, -sin)
        return joint, None, None


def rotate(first: torch.Tensor, second: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Turn each component of one half of what is rotated of heads with that of the other, in place.

    Args:
        first: components 0 to h - 1 of every head, last dimension h.
        second: components h to 2h - 1.
        cos: of each position's angles, last dimension h, else broadcast against the heads.
        sin: likewise.
    """
    turned = first * cos - second * sin
    second.mul_(cos).add_(first * sin)
    first.copy_(turned)


def _turn(joint: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    half = cos.shape[-1]
    rotate(joint[..., :2, :half], joint[..., :2, half : 2 * half], cos, sin)


def _attention(
    self: Any, hidden_states: torch.Tensor, position_embeddings: Any = None, **unused: Any
) -> tuple[torch.Tensor, None]:
    """The library's attention for whole sequences from position 0, without mask or cache."""
    batch, length, width = hidden_states.shape
    qkv = self.query_key_value(hidden_states).view(batch, length, -1, 3, self.head_size)
    query, key, value = _Split.apply(qkv, *position_embeddings)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=self.scaling,
        dropout_p=self.attention_dropout if self.training else 0.0,
    )  # fmt: skip
    return self.dense(mixed.transpose(1, 2).reshape(batch, length, width)), None
