"""Whole networks without the library's wrapping and without autograd: GPT-NeoX, Llama and GPT-2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from llm.config import RunConfig
from llm.networks.fast.layers import Attention, Embedding, Head, LayerNorm, Linear, RMSNorm
from llm.networks.fast.neox import RotaryTable
from llm.networks.fast.updates import Update

__all__ = ["Network", "Networks", "why_not"]

_gelu_backward = torch.ops.aten.gelu_backward
_silu_backward = torch.ops.aten.silu_backward


class _Block(Protocol):
    def forward(self, x: Tensor, keep: bool = True) -> Tensor: ...
    def backward(self, gradient: Tensor) -> Tensor: ...


class Networks:
    """The networks of a model by the length of documents.

    They compute with the model's own memory; where that was exchanged meanwhile, they are made anew.

    Args:
        model: one that `why_not` has no objection to, on its device.
        update: what becomes of gradients.
    """

    def __init__(self, model: Any, update: Update) -> None:
        self._model, self._update = model, update
        self._by_length: dict[int, Network] = {}
        self._places: list[tuple[int, int]] = []

    def of(self, length: int) -> Network:
        """That for documents of so many tokens."""
        if self._places != self._memory():
            self._by_length.clear()
        if length not in self._by_length:
            with torch.inference_mode(False), torch.no_grad():
                self._by_length[length] = Network.of(self._model, length, self._update)
            self._places = self._memory()  # after it has joined some of it
        return self._by_length[length]

    def _memory(self) -> list[tuple[int, int]]:
        return [(p.untyped_storage()._cdata, p.storage_offset()) for p in self._model.parameters()]


class Network:
    """A causal language model for documents of C tokens.

    It works on the model's own parameters. Frozen ones get no gradient, and nothing below the lowest that
    trains is computed backward.

    Args:
        embeddings: tables and the places that are looked up in each, given the tokens; their rows are added.
        blocks: first to last.
        norm: before the output layer.
        head: the output layer.
        update: what becomes of gradients.
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
    def of(cls, model: Any, length: int, update: Update) -> Network:
        """That of a model that `why_not` has no objection to.

        Args:
            model: on its device; its parameters that read the same input become parts of one matrix.
            length: tokens per document C.
            update: what becomes of gradients.
        """
        base, head = model.base_model, model.get_output_embeddings()
        table = model.get_input_embeddings()
        embeddings = [(Embedding(table.weight, update, head.weight is table.weight), _tokens)]
        blocks: list[_Block]
        norm: LayerNorm | RMSNorm
        if model.config.model_type == "gpt_neox":
            layers, turns = base.layers, _turns(base, table.weight, length)[..., None, :]
            blocks = [_GeluBlock.neox(layer, (turns[0], turns[1]), update) for layer in layers]
            norm = LayerNorm(base.final_layer_norm, update)
        elif model.config.model_type == "llama":
            layers, turns = base.layers, _turns(base, table.weight, length)
            blocks = [_Llama(layer, (turns[0], turns[1]), update) for layer in layers]
            norm = RMSNorm(base.norm, update)
        else:
            layers = base.h
            positions = torch.arange(length, device=table.weight.device)
            embeddings.append(
                (Embedding(base.wpe.weight, update), lambda tokens: positions.repeat(len(tokens)))
            )
            blocks = [_GeluBlock.gpt2(layer, length, update) for layer in layers]
            norm = LayerNorm(base.ln_f, update)
        trains = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
        lowest = trains.index(True) if True in trains else len(layers)
        if any(part.weight.trains for part, _ in embeddings):
            lowest = 0
        return cls(embeddings, blocks, norm, Head(Linear(head, update=update)), update, lowest)

    def hidden(self, tokens: Tensor) -> Tensor:
        """What the output layer reads, shape ``(B, C, d)``, of tokens, int64, shape ``(B, C)``."""
        return self._forward(tokens, keep=False).view(*tokens.shape, -1)

    @torch.no_grad()
    def step(self, tokens: Tensor, targets: Tensor, counted: Tensor) -> None:
        """Forward and backward pass of the mean cross entropy of a document's counted positions.

        Args:
            tokens: int64, shape ``(1, C)``.
            targets: int64, shape ``(C,)``; anything where not counted.
            counted: bool, shape ``(C,)``.
        """
        self._update.start()
        gradient = self._head.gradient(self._forward(tokens, keep=True), targets, counted)
        gradient = self._norm.backward(gradient)
        for block in reversed(self._blocks[self._lowest :]):
            gradient = block.backward(gradient)
        for table, _ in self._embeddings:
            table.backward(gradient)
        self._update.finish()

    def _forward(self, tokens: Tensor, keep: bool) -> Tensor:
        rows: Tensor | None = None
        for table, where in self._embeddings:
            found = table.forward(where(tokens), keep)
            rows = found if rows is None else rows.add_(found)
        assert rows is not None
        for number, block in enumerate(self._blocks):
            rows = block.forward(rows, keep and number >= self._lowest)
        return self._norm.forward(rows, keep)


class _GeluBlock:
    """A block of GPT-NeoX or GPT-2: attention, and a GELU between two products, in parallel or in a row.

    Args:
        norms: modules of the library, before attention and before the feed-forward part.
        products: likewise: queries, keys and values; what attention gives; into and out of the GELU.
        attention: between the first two.
        shape: of queries, keys and values of a batch of documents, heads and their size included.
        axis: which of its dimensions is that of queries, keys and values.
        update: what becomes of gradients.
        parallel: whether both parts read what the block does.
        approximate: form of the GELU, as torch calls it.
    """

    def __init__(
        self,
        norms: Sequence[Any],
        products: Sequence[Any],
        attention: Attention,
        shape: Sequence[int],
        axis: int,
        update: Update,
        *,
        parallel: bool = False,
        approximate: str = "none",
    ) -> None:
        self._norms = [LayerNorm(norm, update) for norm in norms]
        self._joint, self._dense, self._up, self._down = (Linear(one, update=update) for one in products)
        self._attention, self._shape, self._axis = attention, shape, axis
        self._parallel, self._approximate = parallel, approximate

    @classmethod
    def neox(cls, layer: Any, table: tuple[Tensor, Tensor], update: Update) -> _GeluBlock:
        """That of GPT-NeoX, whose heads have queries, keys and values side by side."""
        attention, mlp = layer.attention, layer.mlp
        return cls(
            (layer.input_layernorm, layer.post_attention_layernorm),
            (attention.query_key_value, attention.dense, mlp.dense_h_to_4h, mlp.dense_4h_to_h),
            Attention(table, attention.scaling),
            (-1, len(table[0]), attention.config.num_attention_heads, 3, attention.head_size), 3,
            update, parallel=layer.use_parallel_residual,
        )  # fmt: skip

    @classmethod
    def gpt2(cls, layer: Any, length: int, update: Update) -> _GeluBlock:
        """That of GPT-2, without rotation, for documents of so many tokens."""
        attention, mlp = layer.attn, layer.mlp
        return cls(
            (layer.ln_1, layer.ln_2), (attention.c_attn, attention.c_proj, mlp.c_fc, mlp.c_proj),
            Attention(None, attention.scaling),
            (-1, length, 3, attention.num_heads, attention.head_dim), 2, update, approximate="tanh",
        )  # fmt: skip

    def forward(self, x: Tensor, keep: bool = True) -> Tensor:
        qkv = self._joint.forward(self._norms[0].forward(x, keep), keep).view(self._shape)
        turned = qkv.narrow(self._axis, 0, 2)
        mixed = self._attention.forward(turned, *qkv.unbind(self._axis), keep=keep)
        attended = self._dense.forward(mixed, keep).add_(x)
        middle = self._up.forward(self._norms[1].forward(x if self._parallel else attended, keep), keep)
        if keep:
            self._middle = middle
        opened = torch.nn.functional.gelu(middle, approximate=self._approximate)
        return self._down.forward(opened, keep).add_(attended)

    def backward(self, gradient: Tensor) -> Tensor:
        inner = _gelu_backward(self._down.backward(gradient), self._middle, approximate=self._approximate)
        del self._middle
        through = self._norms[1].backward(self._up.backward(inner)).add_(gradient)
        at_attention = gradient if self._parallel else through
        joint = torch.stack(self._attention.backward(self._dense.backward(at_attention)), self._axis)
        self._attention.turn_back(joint.narrow(self._axis, 0, 2))
        below = self._joint.backward(joint.view(len(gradient), -1))
        return self._norms[0].backward(below).add_(through)


class _Llama:
    """A block of Llama: queries, keys and values in one product, gate and input in another."""

    def __init__(self, layer: Any, table: tuple[Tensor, Tensor], update: Update) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._groups = attention.k_proj.out_features // attention.head_dim
        self._shape = (-1, len(table[0]), attention.q_proj.out_features // attention.head_dim
                       + 2 * self._groups, attention.head_dim)  # fmt: skip
        self._norms = RMSNorm(layer.input_layernorm, update), RMSNorm(layer.post_attention_layernorm, update)
        self._joint = Linear(attention.q_proj, attention.k_proj, attention.v_proj, update=update)
        self._attention = Attention(table, attention.scaling)
        self._dense = Linear(attention.o_proj, update=update)
        self._up = Linear(mlp.gate_proj, mlp.up_proj, update=update)
        self._down = Linear(mlp.down_proj, update=update)

    def forward(self, x: Tensor, keep: bool = True) -> Tensor:
        qkv = self._joint.forward(self._norms[0].forward(x, keep), keep).view(self._shape)
        groups = self._groups
        parts = qkv.split([qkv.shape[2] - 2 * groups, groups, groups], 2)
        mixed = self._attention.forward(qkv[:, :, :-groups], *parts, keep=keep)
        attended = self._dense.forward(mixed, keep).add_(x)
        gate, value = self._up.forward(self._norms[1].forward(attended, keep), keep).chunk(2, 1)
        opened = torch.nn.functional.silu(gate)
        if keep:
            self._gate, self._value, self._open = gate, value, opened
            return self._down.forward(opened * value).add_(attended)
        return self._down.forward(opened.mul_(value), keep).add_(attended)

    def backward(self, gradient: Tensor) -> Tensor:
        inner = self._down.backward(gradient)
        both = torch.cat([_silu_backward(inner * self._value, self._gate), inner * self._open], 1)
        del self._gate, self._value, self._open
        through = self._norms[1].backward(self._up.backward(both)).add_(gradient)
        joint = torch.cat(self._attention.backward(self._dense.backward(through)), 2)
        self._attention.turn_back(joint[:, :, : -self._groups])
        below = self._joint.backward(joint.view(len(gradient), -1))
        return self._norms[0].backward(below).add_(through)


def _tokens(tokens: Tensor) -> Tensor:
    return tokens.flatten()


def why_not(run: RunConfig, model: Any) -> str | None:
    """Why a run's network is not computed here; None where it is.

    Args:
        run: what is to be computed.
        model: of the library.
    """
    if run.version < 2:
        return "version 1"
    if run.task != "language":
        return run.task
    if run.dropout or run.precision == "bf16":
        return "dropout" if run.dropout else "bf16"
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
