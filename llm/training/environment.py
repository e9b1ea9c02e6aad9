"""What is in force while one run works, so that several can take turns in a process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm.config import RunConfig
from llm.runs.folder import RunFolder

if TYPE_CHECKING:
    import torch

__all__ = ["Environment"]


@dataclass(frozen=True)
class Environment:
    """A run's arithmetic, number of threads, random state, and stream on the GPU.

    Attributes:
        config: the run.
        device: where it computes.
        threads: of the CPU; sums split over another number round differently.
        stream: on which all its work on a GPU is queued, so that runs side by side share the GPU; None on
            a CPU.
    """

    config: RunConfig
    device: torch.device
    threads: int
    stream: torch.cuda.Stream | None

    @classmethod
    def of(cls, config: RunConfig, folder: RunFolder) -> Environment:
        """That of a run, with as many threads as it was started with.

        Raises:
            InputError: for a GPU that is not there.
        """
        import torch

        from llm.steps.device import run_device

        device = run_device(config)
        threads = max(1, folder.read_manifest().get("threads", torch.get_num_threads()))
        stream = None
        if device.type == "cuda":
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
        return cls(config, device, threads, stream)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Put all of it in force for a block and the caller's back after it.

        Running out of memory inside is said in one line.
        """
        from llm.cost.memory import enough_memory
        from llm.networks.precision import precision

        with (
            enough_memory(self.config),
            precision(self.config),
            self._threads(),
            self._random(),
            self._streamed(),
        ):
            yield

    @contextlib.contextmanager
    def _threads(self) -> Iterator[None]:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @contextlib.contextmanager
    def _random(self) -> Iterator[None]:
        """Leave the caller's random state alone; dropout seeds torch's generator at every step."""
        import torch

        with torch.random.fork_rng(enabled=self.config.dropout):
            yield

    @contextlib.contextmanager
    def _streamed(self) -> Iterator[None]:
        import torch

        with contextlib.nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
            yield
