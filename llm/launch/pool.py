"""A pool of processes for runs: free of any GPU, with a share of the cores each, stopped without loss."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from llm.training.interrupt import Interrupted

__all__ = ["Pool"]

Result = TypeVar("Result")
# What workers have loaded before they fork: minutes of imports, once for all.
_LOADED = ["llm.training.loop", "transformers.models.gpt_neox.modeling_gpt_neox"]


class Pool:
    """Runs functions in this process, or in several of its own.

    Workers fork from a server that has loaded the libraries but used no GPU, which would not survive a fork.
    Each has its share of the cores, and a GPU of its own where there are several.

    Args:
        workers: processes; 0 works in this one, at once.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None
        if workers:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(_LOADED)
            numbers = context.SimpleQueue()
            for number in range(workers):
                numbers.put(number)
            self._halt = context.Event()
            self._executor = ProcessPoolExecutor(
                workers,
                mp_context=context,
                initializer=_prepare,
                initargs=(numbers, workers, _devices(), self._halt),
            )

    def submit(self, function: Callable[..., Result], *args: Any) -> Future[Result]:
        """Call a function; its result raises what the function raised, `Interrupted` if it never began."""
        if self._executor is not None:
            return self._executor.submit(_work, function, args)
        future: Future[Result] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        """Ask what runs to save and end, and what waits not to begin; once: a second signal ends at once."""
        if self._executor is None or self._halt.is_set():
            return
        self._halt.set()
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            if kind is not None:
                self.stop()
            self._executor.shutdown(wait=True, cancel_futures=True)


# What a worker process knows of itself.
_worker: dict[str, Any] = {}


def _prepare(numbers: Any, workers: int, devices: Sequence[str], halt: Any) -> None:
    """Give a worker its share of the cores, its GPU, and its manners."""
    _worker.update(halt=halt, busy=False)
    # Ctrl-C in a terminal reaches a whole process group; only the parent is to hear it, and pass it on.
    os.setpgrp()
    signal.signal(signal.SIGTERM, _before_training)
    number = numbers.get()
    if len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    import torch

    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // workers))


def _before_training(number: int, frame: object) -> None:
    """SIGTERM outside training: give up what is being prepared; an idle worker just waits for its end."""
    if _worker["busy"]:
        raise Interrupted("stopped before training")


def _work(function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    """A function in a worker, unless all has been stopped meanwhile."""
    _worker["busy"] = True
    try:
        if _worker["halt"].is_set():
            raise Interrupted("stopped before it began")
        return function(*args)
    finally:
        _worker["busy"] = False


def _devices() -> list[str]:
    """The GPUs this process may use."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device for device in chosen.split(",") if device]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
