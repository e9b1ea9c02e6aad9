"""Blocks of GPT-NeoX, GPT-2 and Llama: attention and a feed-forward part, each behind a norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from llm.networks.fast.attention import Attention, Rotation
from llm.networks.fast.layers import LayerNorm, Linear, RMSNorm
from llm.networks.fast.updates import Update

__all__ = ["Block", "gpt2_block", "llama_block", "neox_block"]

_gelu_backward = torch.ops.aten.gelu_backward.default
_silu_backward = torch.ops.aten.silu_backward.default


class _Part(Protocol):
    def forward(self, x: Tensor, keep: bool = True) -> Tensor: ...
    def backward(self, gradient: Tensor) -> Tensor: ...


class Block:
    """Attention and a feed-forward part, whose results are added to what they read.

    Args:
        norms: before attention and before the feed-forward part.
        joint: queries, keys and values in one product.
        attention: on that.
        dense: what attention gives.
        feed_forward: the other part.
        parallel: whether both parts read what the block does, or the second what the first has added to.
    """

    def __init__(
        self,
        norms: Sequence[_Part],
        joint: Linear,
        attention: Attention,
        dense: Linear,
        feed_forward: _Part,
        *,
        parallel: bool = False,
    ) -> None:
        self._norms, self._joint, self._attention, self._dense = norms, joint, attention, dense
        self._feed_forward, self._parallel = feed_forward, parallel

    def forward(self, x: Tensor, keep: bool = True) -> Tensor:
        """Keeps what its parts do."""
        attention, joint = self._attention, self._joint
        room = attention.room(x, joint.to_outputs.shape[1]) if keep else None
        mixed = attention.forward(joint.forward(self._norms[0].forward(x, keep), keep, room), keep)
        attended = self._dense.forward(mixed, keep)
        if self._parallel:  # summed in the library's order
            return self._feed_forward.forward(self._norms[1].forward(x, keep), keep).add_(attended).add_(x)
        attended.add_(x)
        return self._feed_forward.forward(self._norms[1].forward(attended, keep), keep).add_(attended)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of what the block read."""
        through = self._norms[1].backward(self._feed_forward.backward(gradient)).add_(gradient)
        at_attention = gradient if self._parallel else through
        below = self._joint.backward(self._attention.backward(self._dense.backward(at_attention)))
        return self._norms[0].backward(below).add_(through)


class _Gelu:
    """Two products with a GELU between them.

    Args:
        up: the first.
        down: the second.
        approximate: form of the GELU, as torch calls it.
    """

    def __init__(self, up: Linear, down: Linear, approximate: str = "none") -> None:
        self._up, self._down, self._approximate = up, down, approximate

    def forward(self, x: Tensor, keep: bool = True) -> Tensor:
        middle = self._up.forward(x, keep)
        if keep:
            self._middle = middle
        return self._down.forward(torch.nn.functional.gelu(middle, approximate=self._approximate), keep)

    def backward(self, gradient: Tensor) -> Tensor:
        inner = _gelu_backward(self._down.backward(gradient), self._middle, approximate=self._approximate)
        del self._middle
        return self._up.backward(inner)


class _GatedSilu:
    """A product whose two halves are gate and value, and one of what the gate lets through.

    Args:
        up: the first.
        down: the second.
    """

    def __init__(self, up: Linear, down: Linear) -> None:
        self._up, self._down = up, down

    def forward(self, x: Tensor, keep: bool = True) -> Tensor:
        gate, value = self._up.forward(x, keep).chunk(2, 1)
        opened = torch.nn.functional.silu(gate)
        if not keep:
            return self._down.forward(opened.mul_(value), keep)
        self._gate, self._value, self._open = gate, value, opened
        return self._down.forward(opened * value)

    def backward(self, gradient: Tensor) -> Tensor:
        inner = self._down.backward(gradient)
        both = torch.cat([_silu_backward(inner * self._value, self._gate), inner * self._open], 1)
        del self._gate, self._value, self._open
        return self._up.backward(both)


def neox_block(layer: Any, table: tuple[Tensor, Tensor], update: Update) -> Block:
    """That of GPT-NeoX, whose heads have queries, keys and values side by side.

    Args:
        layer: of the library.
        table: cosines and sines, shape ``(C, 1, 1, half)`` each.
        update: what becomes of gradients.
    """
    attention, mlp = layer.attention, layer.mlp
    shape = (-1, len(table[0]), attention.config.num_attention_heads, 3, attention.head_size)
    return Block(
        (LayerNorm(layer.input_layernorm, update), LayerNorm(layer.post_attention_layernorm, update)),
        Linear(attention.query_key_value, update=update),
        Attention(shape, lambda joint: (joint[..., :2, :], joint.unbind(3)),
                  Rotation(*table, exact=update.exact), attention.scaling),
        Linear(attention.dense, update=update),
        _Gelu(Linear(mlp.dense_h_to_4h, update=update), Linear(mlp.dense_4h_to_h, update=update)),
        parallel=layer.use_parallel_residual,
    )  # fmt: skip


def gpt2_block(layer: Any, length: int, update: Update) -> Block:
    """That of GPT-2, without rotation, for documents of so many tokens."""
    attention, mlp = layer.attn, layer.mlp
    shape = (-1, length, 3, attention.num_heads, attention.head_dim)
    return Block(
        (LayerNorm(layer.ln_1, update), LayerNorm(layer.ln_2, update)),
        Linear(attention.c_attn, update=update),
        Attention(shape, lambda joint: (joint[:, :, :2], joint.unbind(2)), None, attention.scaling),
        Linear(attention.c_proj, update=update),
        _Gelu(Linear(mlp.c_fc, update=update), Linear(mlp.c_proj, update=update), "tanh"),
    )


def llama_block(layer: Any, table: tuple[Tensor, Tensor], update: Update) -> Block:
    """That of Llama: queries, keys and values in one product, gate and value in another.

    Args:
        layer: of the library.
        table: cosines and sines, shape ``(C, 1, half)`` each.
        update: what becomes of gradients.
    """
    attention, mlp = layer.self_attn, layer.mlp
    heads, groups = (part.out_features // attention.head_dim for part in (attention.q_proj, attention.k_proj))
    shape = (-1, len(table[0]), heads + 2 * groups, attention.head_dim)
    return Block(
        (RMSNorm(layer.input_layernorm, update), RMSNorm(layer.post_attention_layernorm, update)),
        Linear(attention.q_proj, attention.k_proj, attention.v_proj, update=update),
        Attention(shape, lambda joint: (joint[:, :, :-groups], joint.split([heads, groups, groups], 2)),
                  Rotation(*table), attention.scaling),
        Linear(attention.o_proj, update=update),
        _GatedSilu(Linear(mlp.gate_proj, mlp.up_proj, update=update), Linear(mlp.down_proj, update=update)),
    )  # fmt: skip
