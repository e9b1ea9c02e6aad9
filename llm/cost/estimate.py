"""What a run will cost, before it is started: work, memory, disk and time."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm.config import RunConfig
from llm.cost.device_rates import copy_bandwidth, matrix_rate
from llm.cost.memory import free_memory
from llm.cost.records import Record, nearest_record
from llm.cost.size import Size, measure_size, with_few_tasks
from llm.cost.work import count_work

__all__ = ["Estimate", "duration", "estimate"]

# Documents that are evaluated to time an evaluation; the rest is scaled.
_TIMED_DOCUMENTS = 4


@dataclass(frozen=True)
class Estimate:
    """Work, memory and time of a run.

    Attributes:
        config: the run.
        size: of its network.
        steps: gradient steps.
        evaluations: of all documents.
        seconds: of training and evaluation; probes at the end come on top.
        how: how the time was found.
        setup: seconds before the first episode, where they were recorded; None where they were not.
        beside: how many times longer so many such runs take side by side, where that was measured.
        turns: they take turns, whatever their number.
    """

    config: RunConfig
    size: Size
    steps: int
    evaluations: int
    seconds: float
    how: str
    setup: float | None = None
    beside: Mapping[int, float] = field(default_factory=dict)
    turns: bool = False

    def together(self, number: int) -> tuple[float, float]:
        """Seconds that so many such runs take side by side, at least and at most.

        Equal where it is known. Otherwise they take at best as long as one of them, where all find room on
        the device, and at worst turns.
        """
        most = self.beside.get(number, number) * self.seconds
        known = self.turns or number == 1 or number in self.beside
        return (most if known else self.seconds), most

    def __str__(self) -> str:
        config, size = self.config, self.size
        episodes = config.num_documents * config.epochs
        frozen = size.parameters - size.trainable
        parts = {
            "weights": size.weights, "gradients": size.gradients, "optimizer": size.optimizer,
            "activations": size.activations, "probes": size.probes,
        }  # fmt: skip
        listed = ", ".join(f"{name} {_bytes(value)}" for name, value in parts.items() if value)
        what = {"language": "documents", "image-modelling": "images", "classification": "batches"}
        lines = {
            "run": f"{config.id}",
            "model": f"{config.model}, {config.weights} weights: {size.parameters:,} parameters, "
            + (f"{frozen:,} of them frozen" if frozen else "all trained"),
            "work": f"{episodes} episodes of {config.steps}: {self.steps} gradient steps, "
            f"{self.evaluations} evaluations of {config.num_documents} {what[config.task]}",
            "memory": f"about {_bytes(size.memory)} on the device ({listed})",
            "disk": f"up to {_bytes(size.disk)} while it runs",
            "time": f"about {duration(self.seconds)} ({self.how})",
        }
        if self.setup is not None:
            lines["before"] = f"about {duration(self.setup)} before the first episode"
        return "\n".join(f"{name:<8}{text}" for name, text in lines.items())


def estimate(config: RunConfig, *, timed: bool = False) -> Estimate:
    """What a run will cost. Writes nothing; no documents are read.

    The time is arithmetic: operations and bytes counted from shapes, over rates that were recorded on a GPU
    (`llm.cost.records`) or, for a run on this machine's CPU, over the rates of one product and one copy.

    Args:
        config: the run.
        timed: execute a few gradient steps and evaluations of up to four documents here instead, weights
            random and text embedded (neither changes the time), and scale them. Takes as long as that takes.

    Raises:
        InputError: for a network that cannot be built.
    """
    size = measure_size(config)
    steps = config.num_documents * config.epochs * config.steps
    evaluations = 1 + config.num_documents * config.epochs
    reason = _not_here(config, size)
    setup, beside, turns = None, dict[int, float](), False
    if timed and not reason:
        step, evaluation, device = _measured(config)
        how = f"measured here, {device}: a gradient step {step:.3g} s, an evaluation {evaluation:.3g} s"
    elif _for_gpu(config, reason):
        record = nearest_record(config, count_work(config, size.parameters, size.operations))
        step, evaluation, how = _on_gpu(config, size, record, reason)
        beside = dict(record.together)
        if record.setup_seconds is not None:
            setup = record.setup_seconds * max(1.0, size.parameters / record.parameters)
    else:
        step, evaluation, how = _on_cpu(config, size)
        turns = True  # its cores are one run's already
    kinds = 2 if config.evaluate_summaries else 1
    seconds = steps * step + evaluations * evaluation * kinds
    return Estimate(config, size, steps, evaluations, seconds, how, setup, beside, turns)


def _for_gpu(config: RunConfig, reason: str) -> bool:
    import torch

    return bool(reason) or (config.device != "cpu" and torch.cuda.is_available())


def _not_here(config: RunConfig, size: Size) -> str:
    """Why the run cannot be done here; empty if it can."""
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        return "there is no GPU here"
    device = torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
    free = free_memory(device)
    if 1.2 * size.memory > free:
        return f"of {_bytes(size.memory)} here are {_bytes(free)} free"
    return ""


def _on_gpu(config: RunConfig, size: Size, record: Record, reason: str) -> tuple[float, float, str]:
    """Seconds of a step and an evaluation, by the record of the most similar run."""
    # What was recorded of an earlier way of descending says nothing yet of a later one.
    same = dataclasses.replace(config, version=record.version)
    work = count_work(same, size.parameters, size.operations)
    step, evaluation = work.least_seconds(record.matrix_rate, record.copy_bandwidth)
    how = f"arithmetic for one {record.device}, {config.precision}: as close to its bounds as {record}"
    return step / record.step_share, evaluation / record.evaluation_share, how + (reason and f"; {reason}")


def _on_cpu(config: RunConfig, size: Size) -> tuple[float, float, str]:
    """Seconds of a step and an evaluation at the rates of this machine's CPU."""
    import torch

    device = torch.device("cpu")
    rate, bandwidth = matrix_rate(device), copy_bandwidth(device)
    step, evaluation = count_work(config, size.parameters, size.operations).least_seconds(rate, bandwidth)
    rates = f"products at {rate / 1e9:.0f} Gflop/s and copies at {bandwidth / 1e9:.1f} GB/s"
    threads = f"this cpu with {torch.get_num_threads()} threads"
    return step, evaluation, f"arithmetic, at best: {rates}, as now on {threads}"


def _measured(config: RunConfig) -> tuple[float, float, str]:
    """Seconds of a step and an evaluation, and where they were measured."""
    import torch

    from llm.networks.precision import precision
    from llm.registry import make_adapter
    from llm.steps.device import run_device
    from llm.steps.optimizers import make_optimizer
    from llm.steps.step import EagerStep

    documents = min(config.num_documents, _TIMED_DOCUMENTS)
    small = with_few_tasks(config, documents)
    device = run_device(small)
    cuda = device.type == "cuda"

    def clock() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    if sys.stderr.isatty():
        print("reawaken: timing a few gradient steps and evaluations here", file=sys.stderr, flush=True)
    with precision(small), torch.random.fork_rng():
        adapter = make_adapter(small, device)
        step = EagerStep(adapter, make_optimizer(small, adapter.model))
        step.train(0, 1)  # allocates, compiles, fills caches
        steps: list[float] = []
        evaluations: list[float] = []
        started = clock()
        # The best of a few: another process on the machine only ever adds to it.
        while not steps or (len(steps) < 5 and clock() - started < 2):
            begun = clock()
            step.train(1, 1)
            trained = clock()
            step.evaluate()
            steps.append(trained - begun)
            evaluations.append(clock() - trained)
    name = torch.cuda.get_device_name(device) if cuda else f"cpu with {torch.get_num_threads()} threads"
    return min(steps), min(evaluations) * config.num_documents / documents, name


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"
