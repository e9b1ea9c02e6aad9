"""Causal attention and its rotation, on the joint projection of queries, keys and values.

While a network trains, queries, keys and values of a block lie in one piece of memory that it keeps from step
to step: they are rotated there, and their gradients are put there when they are needed no more. So what has
to be cut and turned round for it is found once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llm.networks.fast.neox import rotate

__all__ = ["Attention", "Rotation"]

# What scaled_dot_product_attention calls on a CPU, and its gradient. To ask autograd for it takes as long
# again as the function itself where networks are small.
_FLASH = 1
_flash: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_flash_backward: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)


class Rotation:
    """Turns component i of every head with i + h by its position's angle, in place.

    Args:
        cos: last dimension h, else broadcast against documents' heads.
        sin: likewise.
        exact: in the order of `llm.networks.fast.neox.rotate`, bit for bit, rather than in three operations.
    """

    def __init__(self, cos: Tensor, sin: Tensor, exact: bool = False) -> None:
        self._half, self._exact = cos.shape[-1], exact
        if exact:
            self._cos, self._sines = cos, (sin, -sin)
        else:
            self._cos = torch.cat([cos, cos], -1)
            self._sines = torch.cat([-sin, sin], -1), torch.cat([sin, -sin], -1)

    def halves(self, heads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is turned of heads, last dimension d, and the two halves of that."""
        half = self._half
        return heads[..., : 2 * half], heads[..., :half], heads[..., half : 2 * half]

    def turn(self, halves: tuple[Tensor, Tensor, Tensor], back: bool) -> None:
        """There, or back again: the gradient of having turned."""
        part, first, second = halves
        if self._exact:
            rotate(first, second, self._cos, self._sines[back])
        else:
            others = torch.cat([second, first], -1)
            part.mul_(self._cos).addcmul_(others, self._sines[back])


@dataclass(frozen=True)
class _Views:
    """A joint projection, cut up: `heads` are queries, keys and values, shape ``(B, heads, C, d)`` each."""

    turned: tuple[Tensor, Tensor, Tensor] | None
    heads: tuple[Tensor, Tensor, Tensor]
    flash: bool


class Attention:
    """Causal attention within each document.

    Args:
        shape: of the joint projection of a batch of documents, the first two dimensions ``(-1, C)``, the last
            d.
        cut: gives of a tensor of that shape queries and keys together, and queries, keys and values, shapes
            ``(B, C, heads, d)``; there may be fewer keys and values, each for as many queries.
        rotation: of queries and keys; None for none.
        scale: of the scores.
    """

    def __init__(
        self,
        shape: Sequence[int],
        cut: Callable[[Tensor], tuple[Tensor, Sequence[Tensor]]],
        rotation: Rotation | None,
        scale: float,
    ) -> None:
        self._shape, self._cut, self._rotation, self._scale = shape, cut, rotation, scale
        self._room: Tensor | None = None

    def room(self, like: Tensor, width: int) -> Tensor:
        """Where the joint projection of one document is wanted in training, shape ``(C, width)``."""
        if self._room is None or self._room.dtype != like.dtype:
            self._room = like.new_empty((len(like), width))
            self._views = self._cut_up(self._room)
        return self._room

    def forward(self, joint: Tensor, keep: bool = True) -> Tensor:
        """Mixed values, shape ``(B * C, heads * d)``.

        Args:
            joint: queries, keys and values, shape ``(B * C, width)``, which is overwritten.
            keep: for the backward pass, of one document that lies in the `room`.
        """
        views = self._views if keep else self._cut_up(joint)
        if self._rotation is not None and views.turned is not None:
            self._rotation.turn(views.turned, back=False)
        if not keep:
            return _rows(self._mix(*views.heads))
        if views.flash:
            self._kept = _flash(*views.heads, 0.0, True, scale=self._scale)
            return _rows(self._kept[0])
        # Autograd is asked for this one function: its gradient has kernels of its own on every device.
        with torch.enable_grad():
            inputs = [part.detach().requires_grad_() for part in views.heads]
            self._kept = inputs, self._mix(*inputs)
        return _rows(self._kept[1].detach())

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the joint projection, in its memory, from that of what `forward` gave."""
        assert self._room is not None
        views, kept = self._views, self._kept
        del self._kept
        query = views.heads[0]
        shaped = gradient.view(len(query), query.shape[2], query.shape[1], -1).transpose(1, 2)
        if views.flash:
            found = _flash_backward(shaped, *views.heads, *kept, 0.0, True, scale=self._scale)
        else:
            found = torch.autograd.grad(kept[1], kept[0], shaped)
        for part, one in zip(views.heads, found, strict=True):
            part.copy_(one)
        if self._rotation is not None and views.turned is not None:
            self._rotation.turn(views.turned, back=True)
        return self._room

    def _cut_up(self, joint: Tensor) -> _Views:
        turned, parts = self._cut(joint.view(self._shape))
        query, key, value = (part.transpose(1, 2) for part in parts)
        flash = (
            joint.device.type == "cpu"
            and None not in (_flash, _flash_backward)
            and query.shape == key.shape
            and torch._fused_sdp_choice(query, key, value, is_causal=True, scale=self._scale) == _FLASH
        )
        halves = None if self._rotation is None else self._rotation.halves(turned)
        return _Views(halves, (query, key, value), flash)

    def _mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if (groups := query.shape[1] // key.shape[1]) > 1:
            key, value = (part.repeat_interleave(groups, 1) for part in (key, value))
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=self._scale
        )


def _rows(mixed: Tensor) -> Tensor:
    return mixed.transpose(1, 2).flatten(2).flatten(0, 1)
