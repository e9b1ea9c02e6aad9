"""Trying something out on a network and putting everything back, bitwise and in place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from llm.steps.step import Step

__all__ = ["restoring"]


@contextlib.contextmanager
def restoring(model: torch.nn.Module, step: Step) -> Iterator[Callable[[], None]]:
    """Whatever happens to the network inside the block, it is put back, bitwise and in place.

    In place because captured graphs hold the addresses of parameters and of the optimizer's state.

    Yields:
        A function that puts weights, buffers and optimizer back at once.
    """
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    saved = [tensor.detach().clone() for tensor in tensors]
    moments = {name: tensor.clone() for name, tensor in step.optimizer.state().items()}

    def restore() -> None:
        with torch.no_grad():
            for tensor, value in zip(tensors, saved, strict=True):
                tensor.copy_(value)
            # State that did not exist yet is what a reset leaves: zeros.
            step.reset_optimizer()
            current = step.optimizer.state()
            for name, value in moments.items():
                current[name].copy_(value)

    devices = list({t.device.index for t in tensors if t.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield restore
    finally:
        restore()
