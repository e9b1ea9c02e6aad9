"""What the loop needs of a kind of task: a model, static buffers, and losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


__all__ = ["TaskAdapter"]


class TaskAdapter(Protocol):
    """Tasks with a loss. The loop and the step know no more of documents or images than this.

    A gradient step is `load` then `loss`. Buffers keep their shape and address for the whole run and nothing
    in `loss` or `losses` waits for the device, so that a step can be captured once and replayed.

    Attributes:
        model: the network.
        tasks: number of tasks T.
        data: what was read, as the manifest records it (JSON); ``data["sha256"]`` identifies the tasks.
        extra: further evaluations by name, each returning shape ``(T,)`` like `losses`; usually none.
        inputs: buffer that `loss` feeds to the network.
        targets: buffer that `loss` compares with.
        weights_sha256: hash of the network's weights before training; to be asked before that.
    """

    model: torch.nn.Module
    tasks: int
    data: Mapping[str, Any]
    extra: Mapping[str, Callable[[], torch.Tensor]]
    inputs: torch.Tensor
    targets: torch.Tensor
    weights_sha256: Callable[[], str]

    def load(self, task: int, episode: int | None = None, step: int = 0) -> None:
        """Put a task into the buffers: as it is evaluated, or as one gradient step of an episode sees it.

        Random variations come from a generator seeded by ``(seed, episode, step)``, so a resumed run
        needs no generator state.
        """

    def loss(self) -> torch.Tensor:
        """Training loss on the buffers, a scalar that carries gradients."""

    def counted(self) -> torch.Tensor:
        """Which rows of the output layer count in the loss on the buffers, bool, one dimension.

        Rows are positions of a text or images of a batch. A network may compute more rows than that at the
        end, which count in nothing.
        """

    def losses(self) -> torch.Tensor:
        """Losses of all tasks, float32 on the device, shape ``(T,)``, without gradients."""
