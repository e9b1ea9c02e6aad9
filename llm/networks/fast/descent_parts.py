"""Layers whose backward pass descends: a matrix changes in the product that would have been its gradient.

A step of plain descent through autograd writes every gradient to memory, reads it again and adds it. Here a
layer first takes the gradient of its input with the weights as they are, then adds its own gradient to them
in the product itself (``W <- W - rate dY^T X``): 16 bytes per weight and step in place of 24, no kernels of
an optimizer, no gradient in memory. Biases and norms, which are small, are collected and changed together at
the end. Equal to `llm.steps.optimizers.GradientDescent` to rounding.

All layers work on rows, shape ``(C, width)``: one document at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llm.networks.fast.neox import rotate

__all__ = ["Attention", "Embedding", "Head", "LayerNorm", "Linear", "RMSNorm", "Update", "join"]


class Update:
    """How parameters change: by minus the rate times their gradient, after decay.

    Args:
        rate: learning rate.
        decay: part of a weight, times the rate, that a step takes away beside the gradient.
    """

    def __init__(self, rate: float, decay: float = 0.0) -> None:
        self.alpha = -rate
        self.keep = 1 - rate * decay
        self._vectors: list[Tensor] = []
        self._gradients: list[Tensor] = []

    def start(self) -> None:
        """Forget what a step that broke has left."""
        self._vectors, self._gradients = [], []

    def product(self, weight: Tensor, left: Tensor, right: Tensor) -> None:
        """Descend along ``left^T right``."""
        weight.addmm_(left.t(), right, beta=self.keep, alpha=self.alpha)

    def rows(self, weight: Tensor, places: Tensor, gradients: Tensor, decays: bool) -> None:
        """Descend along gradients of some rows, which may come more than once."""
        if decays and self.keep != 1:
            weight.mul_(self.keep)
        if weight.device.type == "cpu":
            weight.index_add_(0, places, gradients, alpha=self.alpha)
        else:  # sums in a fixed order there, which index_add_ does not
            weight.index_put_((places,), gradients * self.alpha, accumulate=True)

    def vector(self, parameter: Tensor, gradient: Tensor) -> None:
        """Descend along a small gradient when the step is over."""
        self._vectors.append(parameter)
        self._gradients.append(gradient)

    def finish(self) -> None:
        """Change what was collected, all in one go."""
        if self._vectors:
            if self.keep != 1:
                torch._foreach_mul_(self._vectors, self.keep)
            torch._foreach_add_(self._vectors, self._gradients, alpha=self.alpha)
        self._vectors, self._gradients = [], []


class Linear:
    """``y = x W^T + b``, or ``x W + b`` where the library keeps the weight transposed (its Conv1D).

    Args:
        weight: the matrix.
        bias: or None.
        update: how they change.
        transposed: whether the weight has shape ``(inputs, outputs)``.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, update: Update, transposed: bool = False) -> None:
        self.weight, self.bias, self.update = weight.detach(), bias, update
        self.to_outputs = self.weight if transposed else self.weight.t()
        self.transposed = transposed
        self.trains = weight.requires_grad
        self.bias_trains = bias is not None and bias.requires_grad

    @classmethod
    def of(cls, module: Any, update: Update) -> Linear:
        """That of a module of the library."""
        return cls(module.weight, module.bias, update, not isinstance(module, torch.nn.Linear))

    def forward(self, x: Tensor) -> Tensor:
        """Keeps its input."""
        self._x = x
        return x @ self.to_outputs if self.bias is None else torch.addmm(self.bias, x, self.to_outputs)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the input, by the weights as they were; then descends."""
        below = gradient @ self.to_outputs.t()
        if self.trains:
            left, right = (self._x, gradient) if self.transposed else (gradient, self._x)
            self.update.product(self.weight, left, right)
        if self.bias_trains:
            assert self.bias is not None
            self.update.vector(self.bias, gradient.sum(0))
        del self._x
        return below


class LayerNorm:
    """Layer normalisation with gain and bias."""

    def __init__(self, module: Any, update: Update) -> None:
        self.module, self.update = module, update
        self.trains = module.weight.requires_grad

    def forward(self, x: Tensor) -> Tensor:
        """Keeps its input and its moments."""
        self._x = x
        m = self.module
        y, self._mean, self._scale = torch.native_layer_norm(x, m.normalized_shape, m.weight, m.bias, m.eps)
        return y

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the input."""
        m = self.module
        below, gain, bias = torch.ops.aten.native_layer_norm_backward(
            gradient, self._x, m.normalized_shape, self._mean, self._scale, m.weight, m.bias,
            [True, self.trains, self.trains],
        )  # fmt: skip
        if self.trains:
            self.update.vector(m.weight, gain)
            self.update.vector(m.bias, bias)
        del self._x, self._mean, self._scale
        return below


class RMSNorm:
    """Division by the root mean square, with gain (Zhang & Sennrich 2019)."""

    def __init__(self, module: Any, update: Update) -> None:
        self.gain, self.epsilon, self.update = module.weight, module.variance_epsilon, update
        self.trains = module.weight.requires_grad

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the normalised input and its scale."""
        self._scale = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(self.epsilon))
        self._normal = x * self._scale
        return self._normal * self.gain

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the input."""
        through = gradient * self._normal
        if self.trains:
            self.update.vector(self.gain, through.sum(0))
        inner = gradient * self.gain
        share = through.mul_(self.gain).mean(-1, keepdim=True)
        below = inner.addcmul_(self._normal, share, value=-1).mul_(self._scale)
        del self._normal, self._scale
        return below


class Attention:
    """Causal attention of one document on rotated queries and keys.

    Args:
        table: cosines and sines of the rotation, each of shape ``(C, 1, half)``; None for no rotation.
        scale: of the scores.
    """

    def __init__(self, table: tuple[Tensor, Tensor] | None, scale: float) -> None:
        self.table, self.scale = table, scale

    def forward(self, turned: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Mixed values, shape ``(C, heads * d)``.

        Args:
            turned: queries and keys together, shape ``(C, n, d)``, rotated where they lie.
            query: that part of them, shape ``(C, heads, d)``.
            key: the other, shape ``(C, groups, d)``.
            value: of the keys' shape.
        """
        if self.table is not None:
            rotate(turned, *self.table)
        with torch.enable_grad():
            self._inputs = [part.detach().requires_grad_() for part in (query, key, value)]
            q, k, v = (part.transpose(0, 1)[None] for part in self._inputs)
            if (groups := q.shape[1] // k.shape[1]) > 1:
                k, v = (part.repeat_interleave(groups, 1) for part in (k, v))
            self._mixed = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=self.scale
            )
        return self._mixed.detach()[0].transpose(0, 1).flatten(1)

    def backward(self, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of queries, keys and values; those of queries and keys are still rotated."""
        inputs, mixed = self._inputs, self._mixed
        del self._inputs, self._mixed
        _, heads, length, size = mixed.shape
        shaped = gradient.view(length, heads, size).transpose(0, 1)[None]
        query, key, value = torch.autograd.grad(mixed, inputs, shaped)
        return query, key, value

    def turn_back(self, gradient: Tensor) -> None:
        """Take the rotation out of gradients of queries and keys, in place."""
        if self.table is not None:
            cos, sin = self.table
            rotate(gradient, cos, -sin)


class Embedding:
    """A table that is looked up; only the rows that were change.

    Args:
        weight: the table.
        update: how it changes.
        shared: whether the output layer is the same table, and has taken its decay already.
    """

    def __init__(self, weight: Tensor, update: Update, shared: bool = False) -> None:
        self.weight, self.update, self.shared = weight.detach(), update, shared
        self.trains = weight.requires_grad

    def forward(self, places: Tensor) -> Tensor:
        """Rows at some places, int64, shape ``(C,)``."""
        self._places = places
        return self.weight[places]

    def backward(self, gradient: Tensor) -> None:
        """Descend."""
        if self.trains:
            self.update.rows(self.weight, self._places, gradient, decays=not self.shared)


class Head:
    """Output layer and mean cross entropy in one: logits are never more than one tensor.

    Args:
        linear: the output layer.
    """

    def __init__(self, linear: Linear) -> None:
        self.linear = linear
        self._room: Tensor | None = None

    def descend(self, hidden: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
        """The gradient of the hidden states, shape ``(C, width)``; the layer descends.

        Args:
            hidden: shape ``(C, width)``.
            targets: int64, shape ``(C,)``; anything where not counted.
            counted: bool, shape ``(C,)``.
        """
        layer = self.linear
        shape = len(hidden), layer.to_outputs.shape[1]
        if self._room is None or self._room.shape != shape:
            self._room = hidden.new_empty(shape)
        logits = self._room
        if layer.bias is None:
            torch.mm(hidden, layer.to_outputs, out=logits)
        else:
            torch.addmm(layer.bias, hidden, layer.to_outputs, out=logits)
        torch.softmax(logits, 1, out=logits)
        wanted = targets.clamp(min=0)[:, None]
        logits.scatter_add_(1, wanted, logits.new_full((1, 1), -1.0).expand(wanted.shape))
        # What does not count is left out of the two thin factors, not of the logits.
        share = (counted / counted.sum())[:, None]
        layer._x = hidden * share
        if layer.bias_trains:
            assert layer.bias is not None
            layer.update.vector(layer.bias, (share.t() @ logits)[0])
        below = logits @ layer.to_outputs.t()
        if layer.trains:
            left, right = (layer._x, logits) if layer.transposed else (logits, layer._x)
            layer.update.product(layer.weight, left, right)
        return below.mul_(share)


def join(*modules: Any) -> tuple[Tensor, Tensor | None]:
    """Weights and biases of linear layers of one input as one matrix and one vector.

    The layers' parameters become parts of it, so that a change of either is one of both.
    """
    with torch.no_grad():
        weight = torch.cat([module.weight for module in modules])
        split = weight.split([len(module.weight) for module in modules])
        for module, part in zip(modules, split, strict=True):
            module.weight.data = part
        weight.requires_grad_(modules[0].weight.requires_grad)
        if modules[0].bias is None:
            return weight, None
        bias = torch.cat([module.bias for module in modules])
        for module, part in zip(modules, bias.split([len(m.bias) for m in modules]), strict=True):
            module.bias.data = part
        return weight, bias.requires_grad_(modules[0].bias.requires_grad)
