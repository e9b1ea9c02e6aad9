"""Weights that layers compute with, and what becomes of their gradients.

`Descent` never forms the gradient of a matrix: it changes in the product that would have been its gradient
(``W <- W - rate dY^T X``), 16 bytes per weight and step in place of 24, no kernels of an optimizer, no
gradient in memory. Biases and norms, which are small, are collected and changed together at the end.
`Gradients` leaves them for an optimizer that needs them whole. Both can be `exact`: then they compute, in the
same order, what autograd and an optimizer do, which version 1 of a run is held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Descent", "Gradients", "Update", "Weight"]


class Weight:
    """A matrix or vector that a layer computes with: a parameter of the model, or several that are its rows.

    Several become parts of one piece of memory, so that a change of either is one of both; parameters that
    are so already stay where they are.

    Args:
        parameters: of the model, which read the same input.
    """

    def __init__(self, *parameters: torch.nn.Parameter) -> None:
        self.parameters = parameters
        self.trains = parameters[0].requires_grad
        if len(parameters) > 1 and not _adjacent(parameters):
            whole = torch.cat([parameter.detach() for parameter in parameters])
            for parameter, part in zip(parameters, whole.split(self.rows), strict=True):
                parameter.data = part
        first = parameters[0].detach()
        self.value = first.as_strided((sum(self.rows), *first.shape[1:]), first.stride())

    @property
    def rows(self) -> list[int]:
        """Rows of each parameter."""
        return [len(parameter) for parameter in self.parameters]


def _adjacent(parameters: Sequence[Tensor]) -> bool:
    """Whether each begins in memory where the one before it ends."""
    return all(parameter.is_contiguous() for parameter in parameters) and all(
        before.untyped_storage()._cdata == after.untyped_storage()._cdata
        and before.storage_offset() + before.numel() == after.storage_offset()
        for before, after in zip(parameters, parameters[1:], strict=False)
    )


class Update(Protocol):
    """What becomes of gradients, in the order in which a backward pass finds them.

    Attributes:
        exact: whether autograd's numbers are wanted bit for bit, or to rounding.
    """

    exact: bool

    def start(self) -> None:
        """A step begins; forget what one that broke has left."""

    def product(self, weight: Weight, left: Tensor, right: Tensor) -> None:
        """The gradient is ``left^T right``."""

    def rows(self, weight: Weight, places: Tensor, gradients: Tensor, shared: bool) -> None:
        """Gradients of some rows, which may come more than once.

        Args:
            weight: the table.
            places: the rows, int64.
            gradients: one for each place.
            shared: whether the table is the output layer's, and has got that one's gradient in this step.
        """

    def vector(self, weight: Weight, gradient: Tensor) -> None:
        """The gradient of something small."""

    def finish(self) -> None:
        """All gradients of a step have come."""


class Descent:
    """Changes parameters by minus the rate times their gradient, after decay.

    Equal to `llm.steps.optimizers.GradientDescent` to rounding, or bit for bit.

    Args:
        rate: learning rate.
        decay: part of a weight, times the rate, that a step takes away beside the gradient.
        exact: form the gradient of each matrix, one at a time, and then subtract it.
    """

    def __init__(self, rate: float, decay: float = 0.0, exact: bool = False) -> None:
        self.exact = exact
        self.alpha = -rate
        self.keep = 1 - rate * decay
        self.start()

    def start(self) -> None:
        """A step begins."""
        self._vectors: list[Tensor] = []
        self._gradients: list[Tensor] = []

    def product(self, weight: Weight, left: Tensor, right: Tensor) -> None:
        """In the product itself."""
        if self.exact:
            self._subtract(weight, left.t() @ right)
        else:
            weight.value.addmm_(left.t(), right, beta=self.keep, alpha=self.alpha)

    def rows(self, weight: Weight, places: Tensor, gradients: Tensor, shared: bool) -> None:
        """Only the rows that were looked up change."""
        if self.exact:
            found = torch.zeros_like(weight.value)
            _add_rows(found, places, gradients, 1.0)
            self._subtract(weight, found)
            return
        if not shared and self.keep != 1:
            weight.value.mul_(self.keep)
        _add_rows(weight.value, places, gradients, self.alpha)

    def vector(self, weight: Weight, gradient: Tensor) -> None:
        """Kept until the step is over."""
        self._vectors.append(weight.value)
        self._gradients.append(gradient)

    def finish(self) -> None:
        """Change what was collected, all in one go."""
        if self._vectors:
            if self.keep != 1:
                torch._foreach_mul_(self._vectors, self.keep)
            torch._foreach_add_(self._vectors, self._gradients, alpha=self.alpha)
        self.start()

    def _subtract(self, weight: Weight, gradient: Tensor) -> None:
        if self.keep != 1:
            weight.value.mul_(self.keep)
        weight.value.add_(gradient, alpha=self.alpha)


class Gradients:
    """Leaves each parameter's gradient in its ``.grad``, as a backward pass of autograd does.

    Args:
        exact: bit for bit, rather than to rounding.
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact

    def start(self) -> None:
        """Nothing to forget: what is there is replaced."""

    def product(self, weight: Weight, left: Tensor, right: Tensor) -> None:
        """All parameters of a weight at once."""
        self.vector(weight, left.t() @ right)

    def rows(self, weight: Weight, places: Tensor, gradients: Tensor, shared: bool) -> None:
        """Zero but in the rows that were looked up."""
        (table,) = weight.parameters
        if not shared or table.grad is None:
            table.grad = torch.zeros_like(weight.value)
        _add_rows(table.grad, places, gradients, 1.0)

    def vector(self, weight: Weight, gradient: Tensor) -> None:
        """Each parameter's part."""
        for parameter, part in zip(weight.parameters, gradient.split(weight.rows), strict=True):
            parameter.grad = part

    def finish(self) -> None:
        """Nothing is left to do."""


def _add_rows(table: Tensor, places: Tensor, rows: Tensor, alpha: float) -> None:
    if table.device.type == "cpu":
        table.index_add_(0, places, rows, alpha=alpha)
    else:  # sums in a fixed order there, which index_add_ does not
        table.index_put_((places,), rows * alpha, accumulate=True)
