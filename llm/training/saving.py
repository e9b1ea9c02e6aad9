"""When a run writes a checkpoint, and the thread that writes it while training goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from llm.runs.folder import Checkpoint, RunFolder
from toymodel.base.memory import available_memory

if TYPE_CHECKING:
    import torch

__all__ = ["AfterEpisodes", "CheckpointWriter", "SavePolicy", "ShareOfTime"]


class SavePolicy(Protocol):
    """Decides after every episode but the last whether to save."""

    def start(self) -> None:
        """Training begins, or goes on."""

    def due(self, done: int) -> bool:
        """Whether to save now that `done` episodes are finished."""

    def saved(self, seconds: float) -> None:
        """The checkpoint that was due has been written, which took so long, in a thread or not."""


@dataclass
class ShareOfTime:
    """Saves as often as takes at most a share of a run's time; the first episode is saved at once.

    The time counts though training goes on meanwhile: on a CPU the two share the cores.

    Attributes:
        share: of the time; 5% loses little when a run is killed and little when it is not.
        clock: seconds.
    """

    share: float = 0.05
    clock: Callable[[], float] = time.monotonic
    _cost: float = field(default=0.0, init=False)
    _last: float = field(default=0.0, init=False)
    _writing: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start the clock."""
        self._last, self._writing = self.clock(), False

    def due(self, done: int) -> bool:
        """Once training has taken so long that the last checkpoint's cost is but the share of it."""
        if self._writing or self.clock() - self._last < self._cost / self.share:
            return False
        self._writing = True
        return True

    def saved(self, seconds: float) -> None:
        """Note the cost of the next checkpoint."""
        self._cost, self._last, self._writing = seconds, self.clock(), False


@dataclass
class AfterEpisodes:
    """Saves after every so many episodes, whatever it costs.

    Attributes:
        number: episodes from one checkpoint to the next.
    """

    number: int = 1

    def start(self) -> None:
        """Nothing to start."""

    def due(self, done: int) -> bool:
        """By the number of episodes."""
        return done % self.number == 0

    def saved(self, seconds: float) -> None:
        """Nothing to note."""


class CheckpointWriter:
    """Writes checkpoints one at a time, in a thread, from a copy: training waits for the copy alone.

    The guarantees are those of `RunFolder.save`: a checkpoint is there whole or not at all. What goes wrong
    is raised by the next call, or at the end of the block. Where there is no memory for a copy training
    waits for the disk.

    Args:
        folder: of the run.
        policy: is told what each took.
    """

    def __init__(self, folder: RunFolder, policy: SavePolicy) -> None:
        self._folder, self._policy = folder, policy
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[float] | None = None
        self._room: dict[str, torch.Tensor] = {}

    @contextlib.contextmanager
    def closing(self) -> Iterator[CheckpointWriter]:
        """A block that does not end before all is written."""
        try:
            yield self
            self.wait()
        finally:
            self._thread.shutdown(wait=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint, once the one before it is written, and have it written."""
        self.wait()
        began = time.monotonic()
        copied = self._copy(checkpoint)
        if copied is None:
            self._policy.saved(self._folder.save(checkpoint))
            return
        waited = time.monotonic() - began
        self._pending = self._thread.submit(lambda: waited + self._folder.save(copied))

    def poll(self) -> None:
        """Tell the policy of a checkpoint that has been written meanwhile."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Return when nothing is being written.

        Raises:
            OSError: when the disk is full, or whatever else kept a checkpoint from being written.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._policy.saved(pending.result())

    def _copy(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """The checkpoint in host memory of its own, page-locked where it comes from a GPU; None if too large.

        Room for weights and moments is kept from one to the next.
        """
        tensors = {f"weights/{k}": v for k, v in checkpoint.weights.items()}
        tensors |= {f"optimizer/{k}": v for k, v in checkpoint.optimizer.items()}
        if not self._room:
            free = available_memory() or sys.maxsize
            if 2 * sum(tensor.nbytes for tensor in tensors.values()) > free:
                return None
        for name, tensor in tensors.items():
            self._room[name] = _copied(tensor.detach(), self._room.get(name))
        for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
            import torch

            torch.cuda.current_stream(device).synchronize()  # of this run, not of those beside it
        return dataclasses.replace(
            checkpoint,
            rows={name: rows.copy() for name, rows in checkpoint.rows.items()},
            weights={name: self._room[f"weights/{name}"] for name in checkpoint.weights},
            optimizer={name: self._room[f"optimizer/{name}"] for name in checkpoint.optimizer},
            probes={
                probe: {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
                for probe, state in checkpoint.probes.items()
            },
        )


def _copied(tensor: torch.Tensor, room: torch.Tensor | None) -> torch.Tensor:
    import torch

    if room is None or room.shape != tensor.shape or room.dtype != tensor.dtype:
        room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
    return room.copy_(tensor, non_blocking=tensor.is_cuda)
