"""Layers with their backward passes written out: fewer and larger operations than autograd's.

A layer first takes the gradient of its input with the weights as they are, and then gives the gradient of
the weights to an `Update`, which may change them at once.

All layers work on rows, shape ``(N, width)``: the tokens of one document, or of several of C tokens each.
What a forward pass keeps for the backward pass it keeps only if it is told to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llm.networks.fast.loss import leave_gradient
from llm.networks.fast.updates import Update, Weight

__all__ = ["Embedding", "Head", "LayerNorm", "Linear", "RMSNorm"]

_layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default


class Linear:
    """``y = x W^T + b``, or ``x W + b`` where the library keeps the weight transposed (its Conv1D).

    Args:
        modules: of the library; several that read the same input, not transposed, are computed as one.
        update: what becomes of gradients.
    """

    def __init__(self, *modules: Any, update: Update) -> None:
        self.weight = Weight(*(module.weight for module in modules))
        biases = [module.bias for module in modules]
        self.bias = None if biases[0] is None else Weight(*biases)
        self.update = update
        self.transposed = not isinstance(modules[0], torch.nn.Linear)
        self.to_outputs = self.weight.value if self.transposed else self.weight.value.t()
        self.to_inputs = self.to_outputs.t()

    def forward(self, x: Tensor, keep: bool = True, out: Tensor | None = None) -> Tensor:
        """Keeps its input; the result is in `out` if that is given."""
        if keep:
            self._x = x
        if self.bias is None:
            return torch.mm(x, self.to_outputs, out=out)
        return torch.addmm(self.bias.value, x, self.to_outputs, out=out)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the input, by the weights as they were."""
        below = gradient @ self.to_inputs
        self.give(self._x, gradient)
        if self.bias is not None and self.bias.trains:
            self.update.vector(self.bias, gradient.sum(0))
        del self._x
        return below

    def give(self, x: Tensor, gradient: Tensor) -> None:
        """The gradient of the weight, from those of inputs and outputs."""
        if self.weight.trains:
            self.update.product(self.weight, *((x, gradient) if self.transposed else (gradient, x)))


class LayerNorm:
    """Layer normalisation with gain and bias."""

    def __init__(self, module: Any, update: Update) -> None:
        self.gain, self.bias, self.update = Weight(module.weight), Weight(module.bias), update
        self.shape, self.epsilon = module.normalized_shape, module.eps

    def forward(self, x: Tensor, keep: bool = True) -> Tensor:
        """Keeps its input and its moments."""
        y, mean, scale = torch.native_layer_norm(
            x, self.shape, self.gain.value, self.bias.value, self.epsilon
        )
        if keep:
            self._x, self._mean, self._scale = x, mean, scale
        return y

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the input."""
        trains = self.gain.trains
        below, gain, bias = _layer_norm_backward(
            gradient, self._x, self.shape, self._mean, self._scale, self.gain.value, self.bias.value,
            [True, trains, trains],
        )  # fmt: skip
        if trains:
            self.update.vector(self.gain, gain)
            self.update.vector(self.bias, bias)
        del self._x, self._mean, self._scale
        return below


class RMSNorm:
    """Division by the root mean square, with gain (Zhang & Sennrich 2019).

    Args:
        module: of the library.
        update: what becomes of gradients.
        whole: ask torch for the whole function and its gradient, which on a GPU are a kernel each, where the
            form written out here takes six; on a CPU that is the faster one. By the device if None.
    """

    def __init__(self, module: Any, update: Update, whole: bool | None = None) -> None:
        self.gain, self.epsilon, self.update = Weight(module.weight), module.variance_epsilon, update
        self.whole = self.gain.value.is_cuda if whole is None else whole

    def forward(self, x: Tensor, keep: bool = True) -> Tensor:
        """Keeps the normalised input and its scale."""
        if self.whole:
            return self._all_at_once(x, keep)
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(self.epsilon))
        normal = x * scale
        if not keep:
            return normal.mul_(self.gain.value)
        self._scale, self._normal = scale, normal
        return normal * self.gain.value

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the input."""
        if self.whole:
            inputs, found = self._inputs, self._found
            del self._inputs, self._found
            below, *gain = torch.autograd.grad(found, inputs, gradient)
            if gain:
                self.update.vector(self.gain, gain[0])
            return below
        through = gradient * self._normal
        if self.gain.trains:
            self.update.vector(self.gain, through.sum(0))
        inner = gradient * self.gain.value
        share = through.mul_(self.gain.value).mean(-1, keepdim=True)
        below = inner.addcmul_(self._normal, share, value=-1).mul_(self._scale)
        del self._normal, self._scale
        return below

    def _all_at_once(self, x: Tensor, keep: bool) -> Tensor:
        gain, shape = self.gain.value.detach(), (x.shape[-1],)
        if not keep:
            return torch.nn.functional.rms_norm(x, shape, gain, self.epsilon)
        with torch.enable_grad():
            self._inputs = [x.detach().requires_grad_(), gain.requires_grad_()]
            self._found = torch.nn.functional.rms_norm(self._inputs[0], shape, gain, self.epsilon)
        if not self.gain.trains:
            del self._inputs[1]
        return self._found.detach()


class Embedding:
    """A table that is looked up.

    Args:
        parameter: the table.
        update: what becomes of gradients.
        shared: whether the output layer is the same table.
    """

    def __init__(self, parameter: torch.nn.Parameter, update: Update, shared: bool = False) -> None:
        self.weight, self.update, self.shared = Weight(parameter), update, shared

    def forward(self, places: Tensor, keep: bool = True) -> Tensor:
        """Rows at some places, int64, shape ``(N,)``."""
        if keep:
            self._places = places
        return self.weight.value[places]

    def backward(self, gradient: Tensor) -> None:
        """Give the gradients of the rows."""
        if self.weight.trains:
            self.update.rows(self.weight, self._places, gradient, self.shared)
        del self._places


class Head:
    """Output layer and mean cross entropy in one: logits are never more than one tensor.

    Args:
        linear: the output layer.
    """

    def __init__(self, linear: Linear) -> None:
        self.linear = linear
        self._room: Tensor | None = None

    def gradient(self, hidden: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
        """The gradient of the hidden states, shape ``(N, width)``; that of the layer is given.

        Args:
            hidden: shape ``(N, width)``.
            targets: int64, shape ``(N,)``; anything where not counted.
            counted: bool, shape ``(N,)``.
        """
        layer = self.linear
        shape = len(hidden), layer.to_outputs.shape[1]
        if self._room is None or self._room.shape != shape:
            self._room = hidden.new_empty(shape)
        logits = layer.forward(hidden, keep=False, out=self._room)
        share, wanted = counted / counted.sum(), targets.clamp(min=0)[:, None]
        if layer.update.exact:
            torch.log_softmax(logits, 1, out=logits)
            leave_gradient(logits, wanted, share)
            below = logits @ layer.to_inputs
            layer.give(hidden, logits)
            return below
        torch.softmax(logits, 1, out=logits)
        logits.scatter_add_(1, wanted, logits.new_full((1, 1), -1.0).expand(wanted.shape))
        # What does not count is left out of the thin factors, not of the logits.
        share = share[:, None]
        if layer.bias is not None and layer.bias.trains:
            layer.update.vector(layer.bias, (share.t() @ logits)[0])
        below = logits @ layer.to_inputs
        layer.give(hidden * share, logits)
        return below.mul_(share)
