"""Whole gradient steps and evaluations as CUDA graphs: recorded once, replayed without the host.

A step of a small network is hundreds of kernels, each launched from Python; on a GPU that is most of its
time. A graph holds them all, forward, backward and optimizer, and one call replays them. What is recorded
reads and writes fixed addresses, so nothing it touches may move afterwards: a task is put into the adapter's
static buffers before each replay, and parameters and optimizer state are only ever changed in place.

The recording itself sits behind `Recorder`: the same `GraphStep` runs on any device with a recorder that
keeps the work as it is, or one that checks what a GPU would refuse.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from llm.config import RunConfig
from llm.steps.restoring import restoring
from llm.steps.step import EagerStep
from toymodel.base.words import first_line

if TYPE_CHECKING:
    import torch

    from llm.steps.optimizers import Optimizer
    from llm.steps.step import Step
    from llm.tasks.protocol import TaskAdapter

    Work = Callable[[], Any]

__all__ = ["CudaRecorder", "GraphStep", "Recorder", "make_step", "why_eager"]

# Before the recording, work runs a few times: libraries set themselves up, Adam makes its state.
_WARM_UP = 3


class Recorder(Protocol):
    """Turns work into something that repeats it."""

    def warm_up(self, work: Work) -> None:
        """Do the work, where it will be recorded."""

    def record(self, work: Work) -> Work:
        """A function that repeats the work on the same memory; what it returns is the same tensor each time.

        Raises:
            RuntimeError: for work that cannot be recorded.
        """


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory.

    Graphs of one pool may overwrite each other's temporary values, and results too, so they must run one at a
    time and a result must be read or copied before the next replay.

    Args:
        device: which GPU.
    """

    def __init__(self, device: torch.device) -> None:
        import torch

        self._stream = torch.cuda.Stream(device)  # work on the default stream cannot be recorded
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Work) -> None:
        """Do the work on the stream that records, so that handles and workspaces of that stream exist."""
        import torch

        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Work) -> Work:
        """Capture the work; nothing is computed before the first replay."""
        import torch

        # What the warm-up left in the allocator's cache cannot be used by the graph's own pool.
        gc.collect()
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        # The outer block puts the current stream back when a recording breaks; the inner one may not.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream),
        ):
            result = work()

        def replay() -> Any:
            graph.replay()
            return result

        return replay


class GraphStep:
    """Steps and evaluations that are recorded when first needed and replayed from then on.

    Replays give the numbers of `EagerStep`: bitwise where the kernels are the same. A recording that fails
    leaves the run as it was, says why in one line and goes on without one.

    Args:
        adapter: the tasks and their losses.
        optimizer: over the trainable parameters.
        recorder: how work is recorded.
    """

    def __init__(self, adapter: TaskAdapter, optimizer: Optimizer, recorder: Recorder) -> None:
        self.adapter = adapter
        self.optimizer = optimizer
        self.recorder = recorder
        self._replays: dict[str, Work] = {}
        self._addresses: tuple[int, ...] = ()
        self._failures: dict[str, str] = {}

    @property
    def execution(self) -> str:
        """How steps and evaluations are executed, for the manifest."""
        if not self._failures:
            return "graph"
        return "; ".join(f"eager {name} ({reason})" for name, reason in self._failures.items())

    def train(self, task: int, steps: int, episode: int = 0) -> None:
        """Take `steps` gradient steps on one task; `episode` seeds the random variations."""
        replay: Work | None = None
        for step in range(steps):
            self.adapter.load(task, episode, step)
            replay = replay or self._recorded("steps", self._step, trains=True)
            replay()

    def evaluate(self) -> torch.Tensor:
        """Loss of every task, on the device, shape ``(T,)``; a copy that later replays leave alone."""
        return self._recorded("evaluations", self.adapter.losses, trains=False)().clone()

    def reset_optimizer(self) -> None:
        """Forget the optimizer's state in place."""
        self.optimizer.reset()

    def _step(self) -> None:
        self.optimizer.update(self.adapter)

    def _recorded(self, name: str, work: Work, *, trains: bool) -> Work:
        """The recording of that name, made now if there is none; the work itself where that failed."""
        if name in self._failures:
            return work
        if self._replays and self._addresses != tuple(self._where()):
            self._replays.clear()  # they would write to memory that is no longer the model's
        if name not in self._replays:
            try:
                if trains:
                    with restoring(self.adapter.model, self):
                        self._warm_up(work)
                else:
                    self._warm_up(work)
                self._replays[name] = self.recorder.record(work)
            except RuntimeError as error:
                self._failures[name] = _first_line(error)
                for parameter in self.adapter.model.parameters():
                    parameter.grad = None  # what a broken backward pass may have left
                print(f"reawaken: {name} without a graph: {self._failures[name]}", file=sys.stderr)
                return work
            self._addresses = tuple(self._where())
        return self._replays[name]

    def _warm_up(self, work: Work) -> None:
        for _ in range(_WARM_UP):
            self.recorder.warm_up(work)

    def _where(self) -> Iterator[int]:
        """Addresses of everything a replay reads or writes and that lives on between replays."""
        for tensor in (*self.adapter.model.parameters(), *self.adapter.model.buffers()):
            yield tensor.data_ptr()
        for tensor in self.optimizer.state().values():
            yield tensor.data_ptr()


def make_step(config: RunConfig, adapter: TaskAdapter, optimizer: Optimizer, device: torch.device) -> Step:
    """The fastest way of executing the steps of a run that gives its numbers.

    On a GPU that cannot record a run's steps, one line on standard error says why.
    """
    reason = why_eager(config, device)
    if reason is None:
        return GraphStep(adapter, optimizer, CudaRecorder(device))
    if device.type == "cuda":
        print(f"reawaken: steps without a graph: {reason}", file=sys.stderr)
    return EagerStep(adapter, optimizer, reason)


def why_eager(config: RunConfig, device: torch.device) -> str | None:
    """Why a run's steps cannot be recorded; None where they can.

    Masked and shifted documents can: they are drawn on the host before a replay, into the same buffers.
    """
    if device.type != "cuda":
        return f"no CUDA on this device ({device.type})"
    if config.dropout:
        return "dropout draws new random numbers in every step"
    return None


def _first_line(error: BaseException) -> str:
    # Ending a broken recording raises an error of its own; the one that broke it came before.
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    return first_line(error)
