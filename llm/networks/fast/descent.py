"""Gradient steps of plain descent through whole networks, without autograd: GPT-NeoX, Llama and GPT-2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from llm.networks.fast.descent_parts import (
    Attention,
    Embedding,
    Head,
    LayerNorm,
    Linear,
    RMSNorm,
    Update,
    join,
)
from llm.networks.fast.neox import RotaryTable

__all__ = ["DescentNetwork", "why_not"]

_gelu_backward = torch.ops.aten.gelu_backward
_silu_backward = torch.ops.aten.silu_backward


class _Block(Protocol):
    def forward(self, x: Tensor) -> Tensor: ...
    def backward(self, gradient: Tensor) -> Tensor: ...


class DescentNetwork:
    """A causal language model that takes steps of plain descent on one document at a time.

    It works on the model's own parameters, in place. Frozen ones stay, and nothing below the lowest that
    trains is computed backward.

    Args:
        embeddings: tables and the places that are looked up in each, given the tokens; their rows are added.
        blocks: first to last.
        norm: before the output layer.
        head: the output layer.
        update: how parameters change.
        lowest: number of the lowest block that has anything to train at or below it.
    """

    def __init__(
        self,
        embeddings: Sequence[tuple[Embedding, Callable[[Tensor], Tensor]]],
        blocks: Sequence[_Block],
        norm: LayerNorm | RMSNorm,
        head: Head,
        update: Update,
        lowest: int,
    ) -> None:
        self._embeddings, self._blocks, self._norm, self._head = embeddings, blocks, norm, head
        self._update, self._lowest = update, lowest

    @classmethod
    def of(cls, model: Any, context: int, rate: float, decay: float = 0.0) -> DescentNetwork:
        """Steps of plain descent for a model that `why_not` has no objection to.

        Args:
            model: on its device; its parameters are changed in place, and those of Llama's that read the same
                input become parts of one matrix.
            context: tokens per document C.
            rate: learning rate.
            decay: part of a weight, times the rate, that a step takes away beside the gradient.
        """
        update = Update(rate, decay)
        base, head = model.base_model, model.get_output_embeddings()
        table = model.get_input_embeddings()
        shared = head.weight is table.weight
        embeddings = [(Embedding(table.weight, update, shared), lambda tokens: tokens)]
        blocks: list[_Block]
        norm: LayerNorm | RMSNorm
        if model.config.model_type == "gpt_neox":
            layers, turns = base.layers, _turns(base, table.weight, context)[..., None, :]
            blocks = [_NeoX(layer, (turns[0], turns[1]), update) for layer in layers]
            norm = LayerNorm(base.final_layer_norm, update)
        elif model.config.model_type == "llama":
            layers, turns = base.layers, _turns(base, table.weight, context)
            blocks = [_Llama(layer, (turns[0], turns[1]), update) for layer in layers]
            norm = RMSNorm(base.norm, update)
        else:
            layers = base.h
            positions = torch.arange(context, device=table.weight.device)
            embeddings.append((Embedding(base.wpe.weight, update), lambda tokens: positions))
            blocks = [_GPT2(layer, update) for layer in layers]
            norm = LayerNorm(base.ln_f, update)
        trains = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
        lowest = trains.index(True) if True in trains else len(layers)
        if any(part.trains for part, _ in embeddings):
            lowest = 0
        return cls(embeddings, blocks, norm, Head(Linear.of(head, update)), update, lowest)

    @torch.no_grad()
    def descend(self, tokens: Tensor, targets: Tensor, counted: Tensor) -> None:
        """One gradient step on the mean cross entropy of a document's counted positions.

        Args:
            tokens: int64, shape ``(1, C)``.
            targets: int64, shape ``(C,)``; anything where not counted.
            counted: bool, shape ``(C,)``.
        """
        self._update.start()
        places = tokens[0]
        hidden: Tensor | None = None
        for table, where in self._embeddings:
            rows = table.forward(where(places))
            hidden = rows if hidden is None else hidden.add_(rows)
        assert hidden is not None
        for block in self._blocks:
            hidden = block.forward(hidden)
        gradient = self._head.descend(self._norm.forward(hidden), targets, counted)
        gradient = self._norm.backward(gradient)
        for block in reversed(self._blocks[self._lowest :]):
            gradient = block.backward(gradient)
        for table, _ in self._embeddings:
            table.backward(gradient)
        self._update.finish()


class _NeoX:
    """A block of GPT-NeoX: attention and feed-forward side by side, or one after the other."""

    def __init__(self, layer: Any, table: tuple[Tensor, Tensor], update: Update) -> None:
        attention = layer.attention
        self._parallel = layer.use_parallel_residual
        self._size = attention.head_size
        self._norms = (
            LayerNorm(layer.input_layernorm, update),
            LayerNorm(layer.post_attention_layernorm, update),
        )
        self._joint = Linear.of(attention.query_key_value, update)
        self._attention = Attention(table, attention.scaling)
        self._dense = Linear.of(attention.dense, update)
        self._up = Linear.of(layer.mlp.dense_h_to_4h, update)
        self._down = Linear.of(layer.mlp.dense_4h_to_h, update)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self._joint.forward(self._norms[0].forward(x)).view(len(x), -1, 3, self._size)
        mixed = self._attention.forward(qkv[:, :, :2], *qkv.unbind(2))
        attended = self._dense.forward(mixed).add_(x)
        self._middle = self._up.forward(self._norms[1].forward(x if self._parallel else attended))
        return self._down.forward(torch.nn.functional.gelu(self._middle)).add_(attended)

    def backward(self, gradient: Tensor) -> Tensor:
        inner = _gelu_backward(self._down.backward(gradient), self._middle)
        del self._middle
        through = self._norms[1].backward(self._up.backward(inner)).add_(gradient)
        at_attention = gradient if self._parallel else through
        parts = self._attention.backward(self._dense.backward(at_attention))
        joint = torch.stack(parts, 2)
        self._attention.turn_back(joint[:, :, :2])
        return self._norms[0].backward(self._joint.backward(joint.flatten(1))).add_(through)


class _Llama:
    """A block of Llama: queries, keys and values in one product, gate and input in another."""

    def __init__(self, layer: Any, table: tuple[Tensor, Tensor], update: Update) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._size = attention.head_dim
        self._groups = attention.k_proj.out_features // self._size
        self._norms = RMSNorm(layer.input_layernorm, update), RMSNorm(layer.post_attention_layernorm, update)
        self._joint = Linear(*join(attention.q_proj, attention.k_proj, attention.v_proj), update)
        self._attention = Attention(table, attention.scaling)
        self._dense = Linear.of(attention.o_proj, update)
        self._up = Linear(*join(mlp.gate_proj, mlp.up_proj), update)
        self._down = Linear.of(mlp.down_proj, update)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self._joint.forward(self._norms[0].forward(x)).view(len(x), -1, self._size)
        query, key, value = qkv.split([qkv.shape[1] - 2 * self._groups, self._groups, self._groups], 1)
        mixed = self._attention.forward(qkv[:, : -self._groups], query, key, value)
        attended = self._dense.forward(mixed).add_(x)
        self._gate, self._value = self._up.forward(self._norms[1].forward(attended)).chunk(2, 1)
        self._open = torch.nn.functional.silu(self._gate)
        return self._down.forward(self._open * self._value).add_(attended)

    def backward(self, gradient: Tensor) -> Tensor:
        inner = self._down.backward(gradient)
        both = torch.cat([_silu_backward(inner * self._value, self._gate), inner * self._open], 1)
        del self._gate, self._value, self._open
        through = self._norms[1].backward(self._up.backward(both)).add_(gradient)
        joint = torch.cat(self._attention.backward(self._dense.backward(through)), 1)
        self._attention.turn_back(joint[:, : -self._groups])
        return self._norms[0].backward(self._joint.backward(joint.flatten(1))).add_(through)


class _GPT2:
    """A block of GPT-2."""

    def __init__(self, layer: Any, update: Update) -> None:
        attention = layer.attn
        self._size = attention.head_dim
        self._norms = LayerNorm(layer.ln_1, update), LayerNorm(layer.ln_2, update)
        self._joint = Linear.of(attention.c_attn, update)
        self._attention = Attention(None, attention.scaling)
        self._dense = Linear.of(attention.c_proj, update)
        self._up = Linear.of(layer.mlp.c_fc, update)
        self._down = Linear.of(layer.mlp.c_proj, update)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self._joint.forward(self._norms[0].forward(x)).view(len(x), 3, -1, self._size)
        mixed = self._attention.forward(qkv, *qkv.unbind(1))
        attended = self._dense.forward(mixed).add_(x)
        self._middle = self._up.forward(self._norms[1].forward(attended))
        return self._down.forward(torch.nn.functional.gelu(self._middle, approximate="tanh")).add_(attended)

    def backward(self, gradient: Tensor) -> Tensor:
        inner = _gelu_backward(self._down.backward(gradient), self._middle, approximate="tanh")
        del self._middle
        through = self._norms[1].backward(self._up.backward(inner)).add_(gradient)
        joint = torch.stack(self._attention.backward(self._dense.backward(through)), 1)
        return self._norms[0].backward(self._joint.backward(joint.flatten(1))).add_(through)


def why_not(model: Any) -> str | None:
    """Why a network cannot take steps here; None where it can."""
    config = model.config
    kind = config.model_type
    if kind not in ("gpt_neox", "llama", "gpt2"):
        return f"of {kind} networks only GPT-NeoX, Llama and GPT-2 have it"
    act = config.activation_function if kind == "gpt2" else config.hidden_act
    wanted = {"gpt_neox": ("gelu",), "llama": ("silu",), "gpt2": ("gelu_new", "gelu_pytorch_tanh")}[kind]
    if act not in wanted:
        return f"the activation {act} is another than {wanted[0]}"
    if kind == "gpt2" and config.reorder_and_upcast_attn:
        return "attention is reordered"
    for name, module in model.named_modules():
        flags = {p.requires_grad for p in module.parameters(recurse=False)}
        if len(flags) > 1:
            return f"a part of {name} is frozen"
    return None


def _turns(base: Any, like: Tensor, context: int) -> Tensor:
    """Cosines and sines of every position, shape ``(2, C, 1, half)``."""
    positions = torch.arange(context, device=like.device)[None]
    with torch.no_grad():
        cos, sin = base.rotary_emb(like.new_zeros(()), positions)
    both = torch.stack([cos, sin]).reshape(2, context, -1)
    # The library has every angle twice, for both halves of what is turned; a streamlined table once.
    half = both.shape[-1] // (1 if isinstance(base.rotary_emb, RotaryTable) else 2)
    return both[:, :, None, :half].contiguous()
