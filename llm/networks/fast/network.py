"""Whole networks without the library's wrapping and without autograd: GPT-NeoX, Llama and GPT-2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from llm.config import RunConfig
from llm.networks.fast.blocks import Block, gpt2_block, llama_block, neox_block
from llm.networks.fast.layers import Embedding, Head, LayerNorm, Linear, RMSNorm
from llm.networks.fast.neox import RotaryTable
from llm.networks.fast.updates import Update

__all__ = ["Network", "Networks", "why_not"]


class Networks:
    """The networks of a model by the length of documents.

    They compute with the model's own memory; where that was exchanged meanwhile, they are made anew.

    Args:
        model: one that `why_not` has no objection to, on its device.
        update: what becomes of gradients.
    """

    def __init__(self, model: Any, update: Update) -> None:
        self._model, self._update = model, update
        # Looked at before every step, so they are not searched for every time.
        self._holders = [(part._parameters, name) for part in model.modules()
                         for name, p in part._parameters.items() if p is not None]  # fmt: skip
        self._by_length: dict[int, Network] = {}
        self._places: list[tuple[int, int]] = []

    @property
    def exact(self) -> bool:
        """Whether they give autograd's numbers bit for bit."""
        return self._update.exact

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
        held = (parts[name] for parts, name in self._holders)
        return [(p.untyped_storage()._cdata, p.storage_offset()) for p in held]


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
        blocks: Sequence[Block],
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
        blocks: list[Block]
        norm: LayerNorm | RMSNorm
        if model.config.model_type == "gpt_neox":
            layers, turns = base.layers, _turns(base, table.weight, length)[..., None, :]
            blocks = [neox_block(layer, (turns[0], turns[1]), update) for layer in layers]
            norm = LayerNorm(base.final_layer_norm, update)
        elif model.config.model_type == "llama":
            layers, turns = base.layers, _turns(base, table.weight, length)
            blocks = [llama_block(layer, (turns[0], turns[1]), update) for layer in layers]
            norm = RMSNorm(base.norm, update)
        else:
            layers = base.h
            positions = torch.arange(length, device=table.weight.device)
            embeddings.append(
                (Embedding(base.wpe.weight, update), lambda tokens: positions.repeat(len(tokens)))
            )
            blocks = [gpt2_block(layer, length, update) for layer in layers]
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


def _tokens(tokens: Tensor) -> Tensor:
    return tokens.flatten()


def why_not(run: RunConfig, model: Any) -> str | None:
    """Why a run's network is not computed here; None where it is.

    Args:
        run: what is to be computed.
        model: of the library.
    """
    if run.task != "language":
        return "version 1" if run.version < 2 else run.task
    if run.dropout or run.precision == "bf16":
        return "dropout" if run.dropout else "bf16"
    config = model.config
    kind = config.model_type
    if run.version < 2 and not _exact(model):
        return "version 1"
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


def _exact(model: Any) -> bool:
    """Whether what is written out is autograd's bit for bit, which version 1 is held to."""
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    return model.config.model_type == "gpt_neox" and not tied and model.device.type == "cpu"


def _turns(base: Any, like: Tensor, context: int) -> Tensor:
    """Cosines and sines of every position, shape ``(2, C, 1, half)``."""
    positions = torch.arange(context, device=like.device)[None]
    with torch.no_grad():
        cos, sin = base.rotary_emb(like.new_zeros(()), positions)
    both = torch.stack([cos, sin]).reshape(2, context, -1)
    # The library has every angle twice, for both halves of what is turned; a streamlined table once.
    half = both.shape[-1] // (1 if isinstance(base.rotary_emb, RotaryTable) else 2)
    return both[:, :, None, :half].contiguous()
