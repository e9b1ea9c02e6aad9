"""Similarity of the documents' gradients at a layer (paper section 4.1, Fig. 8a), from factors.

The gradient of a linear layer's weight is a product of two thin matrices, dW_i = D_i^T X_i: its inputs X_i
(one row per token) and the gradients D_i at its outputs. Inner products therefore need no gradient at all:

    <dW_i, dW_j> = sum((X_i X_j^T) * (D_i D_j^T))

An embedding is the same with one-hot inputs, where X_i X_j^T says which tokens are equal. Biases, norms,
convolutions and whatever else is small or of another kind are compared as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.networks.layers import Layer, attention_layer, select_layer
from llm.probes.base import cosines, observing

if TYPE_CHECKING:
    import torch

    from llm.steps.state import TrainingState
    from llm.tasks.protocol import TaskAdapter

__all__ = ["Gradients", "gradient_gram"]

# Factors are compared with the first document's own gradient. What this catches is of order one (a weight
# that is used outside its module, say); reduced precision in the gradient itself stays well below.
_TOLERANCE = 0.03


def gradient_gram(
    model: torch.nn.Module, adapter: TaskAdapter, tasks: int, layer: Layer
) -> NDArray[np.float64]:
    """Inner products of the gradients of all documents' losses, at the weights as they are.

    Biases and every other parameter of the layer count. Memory, for T documents of C tokens: per linear
    layer ``4 T C (inputs + outputs)`` bytes on the model's device, plus one gradient of the layer; for the
    output layer of Pythia-1B and 25 documents 1.3 GB in place of 10.3 GB.

    Args:
        model: the network; nothing of it changes, `.grad` fields included.
        adapter: ``load(task)`` puts a document in place, ``loss()`` is its loss.
        tasks: number of documents T.
        layer: whose gradients.

    Returns:
        Gram matrix, float64, shape ``(T, T)``.
    """
    import torch

    factored = _factored(model, layer)
    whole = {n: p for n, p in layer.parameters.items() if n not in factored}
    required = [(p, p.requires_grad) for p in model.parameters()]
    kept: dict[str, _Factors] = {}
    flats: dict[str, torch.Tensor] = {}
    try:
        with observing(model), torch.enable_grad():
            for parameter in model.parameters():
                parameter.requires_grad_(False)
            for parameter in layer.parameters.values():
                parameter.requires_grad_(True)
            for task in range(tasks):
                adapter.load(task)
                factors, gradients = _backward(adapter, factored, whole, check=task == 0)
                if task == 0:
                    for name in [n for n in factored if not _agrees(factors[n], gradients[n])]:
                        whole[name] = factored.pop(name)[0]
                for name, uses in factors.items():
                    if name in factored:
                        kept.setdefault(name, _Factors(tasks, uses)).put(task, uses)
                for name in whole:
                    flat = gradients[name].flatten()
                    flats.setdefault(name, flat.new_empty(tasks, flat.numel()))[task] = flat
    finally:
        for parameter, requires in required:
            parameter.requires_grad_(requires)
    gram = np.zeros((tasks, tasks))
    for factors_of_one in kept.values():
        gram += factors_of_one.gram()
    for rows in flats.values():
        gram += (rows.double() @ rows.double().T).cpu().numpy()
    return (gram + gram.T) / 2


class Gradients:
    """Cosines of the documents' gradients after training; the paper's layer is the middle attention."""

    name = "gradients"

    def __init__(self, layer: str | None = None) -> None:
        self._layer = layer

    def check(self, run: TrainingState) -> None:
        """Find the layer, so that a wrong name is said before training."""
        self._select(run)

    def start(self, run: TrainingState) -> None:
        """Nothing to prepare."""

    def after_episode(self, run: TrainingState, episode: int) -> None:
        """Nothing: the gradients are those of the trained network."""

    def finish(self, run: TrainingState) -> dict[str, NDArray[Any]]:
        """``cosines`` and ``gram``, shape ``(T, T)``; ``layer``, its name."""
        layer = self._select(run)
        gram = gradient_gram(run.model, run.adapter, run.config.num_documents, layer)
        return {"cosines": cosines(gram), "gram": gram, "layer": np.array(layer.name)}

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing to keep."""
        return {}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""

    def _select(self, run: TrainingState) -> Layer:
        return attention_layer(run.model) if self._layer is None else select_layer(run.model, self._layer)


@dataclass
class _Use:
    """One use of a weight in a forward pass: its gradient is ``rows^T cols``, summed over tokens.

    `rows` has one column per row of the weight, or, for an embedding, holds the row's number per token.
    """

    rows: torch.Tensor
    cols: torch.Tensor


class _Factors:
    """The factors of one weight's gradient for all documents."""

    def __init__(self, tasks: int, like: list[_Use]) -> None:
        self._uses = [
            _Use(u.rows.new_empty(tasks, *u.rows.shape), u.cols.new_empty(tasks, *u.cols.shape)) for u in like
        ]

    def put(self, task: int, uses: list[_Use]) -> None:
        for own, use in zip(self._uses, uses, strict=True):
            own.rows[task], own.cols[task] = use.rows, use.cols

    def gram(self) -> NDArray[np.float64]:
        """Inner products of all pairs, one document against all at a time."""
        tasks = self._uses[0].cols.shape[0]
        gram = np.zeros((tasks, tasks))
        every = [_Use(use.rows.flatten(0, 1), use.cols.flatten(0, 1)) for use in self._uses]
        for i in range(tasks):
            for use in self._uses:
                for others in every:
                    pairs = _product(_Use(use.rows[i], use.cols[i]), others).sum(0).double()
                    gram[i] += pairs.view(tasks, -1).sum(1).cpu().numpy()
        return gram


def _product(a: _Use, b: _Use) -> torch.Tensor:
    """``(a.rows b.rows^T) * (a.cols b.cols^T)``, shape ``(tokens of a, tokens of b)``."""
    if a.rows.ndim == b.rows.ndim == 1:
        rows = (a.rows[:, None] == b.rows[None, :]).to(a.cols.dtype)
    elif a.rows.ndim == 1:
        rows = b.rows[:, a.rows].T
    elif b.rows.ndim == 1:
        rows = a.rows[:, b.rows]
    else:
        rows = a.rows @ b.rows.T
    return rows * (a.cols @ b.cols.T)


def _agrees(uses: list[_Use], gradient: torch.Tensor) -> bool:
    factors = sum(float(_product(a, b).sum(dtype=a.cols.dtype)) for a in uses for b in uses)
    whole = float(gradient.double().square().sum())
    return abs(factors - whole) <= _TOLERANCE * whole


def _factored(
    model: torch.nn.Module, layer: Layer
) -> dict[str, tuple[torch.nn.Parameter, list[torch.nn.Module]]]:
    """The layer's weights that only linear layers and embeddings use, with these (several if tied)."""
    import torch
    from transformers.pytorch_utils import Conv1D

    found = {}
    for name, parameter in layer.parameters.items():
        owners = [m for m in model.modules() for p in m.parameters(recurse=False) if p is parameter]
        if parameter.ndim == 2 and all(
            isinstance(m, torch.nn.Linear | torch.nn.Embedding | Conv1D) for m in owners
        ):
            found[name] = (parameter, owners)
    return found


def _backward(
    adapter: TaskAdapter,
    factored: dict[str, tuple[torch.nn.Parameter, list[torch.nn.Module]]],
    whole: dict[str, torch.nn.Parameter],
    check: bool,
) -> tuple[dict[str, list[_Use]], dict[str, torch.Tensor]]:
    """Factors of some weights' gradients and the gradients of the others, for the document in place.

    With `check` the gradients of the factored weights come too.
    """
    import torch
    from torch.autograd.graph import GradientEdge, get_gradient_edge

    calls: list[tuple[str, torch.nn.Module, torch.Tensor, GradientEdge, int]] = []
    handles = []
    for name, (_, owners) in factored.items():
        for owner in owners:

            def note(
                module: torch.nn.Module,
                args: tuple[torch.Tensor, ...],
                output: torch.Tensor,
                name: str = name,
            ) -> None:
                # The edge, not the tensor: what follows may overwrite the output in place.
                calls.append((name, module, args[0].detach(), get_gradient_edge(output), output.shape[-1]))

            handles.append(owner.register_forward_hook(note))
    try:
        loss = adapter.loss()
    finally:
        for handle in handles:
            handle.remove()
    wanted = whole | ({n: p for n, (p, _) in factored.items()} if check else {})
    # torch takes edges and tensors together, but its types know only lists of one kind.
    places: list[Any] = [*(call[3] for call in calls), *wanted.values()]
    found = torch.autograd.grad(loss, places, allow_unused=True, materialize_grads=True)
    uses: dict[str, list[_Use]] = {name: [] for name in factored}
    for (name, module, inputs, _, width), gradient in zip(calls, found, strict=False):
        out = gradient.detach().reshape(-1, width).float()
        if isinstance(module, torch.nn.Embedding):
            tokens = inputs.flatten()
            if module.padding_idx is not None:
                out = out * (tokens != module.padding_idx)[:, None]
            uses[name].append(_Use(tokens, out))
        elif isinstance(module, torch.nn.Linear):
            uses[name].append(_Use(out, inputs.reshape(-1, inputs.shape[-1]).float()))
        else:  # Conv1D: a linear layer with its weight transposed
            uses[name].append(_Use(inputs.reshape(-1, inputs.shape[-1]).float(), out))
    return uses, dict(zip(wanted, found[len(calls) :], strict=True))
