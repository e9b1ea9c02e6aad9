"""What a run will cost, before it is started: work, memory, disk and time."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig

if TYPE_CHECKING:
    import torch

__all__ = ["Estimate", "Size", "estimate", "measure_size"]

# Public figures of one NVIDIA H100 (SXM): memory bandwidth, and dense peak by precision. Half of the tensor
# cores' peak is what matrix products of these shapes reach at best.
_REFERENCE = "H100"
_BANDWIDTH = 3.35e12
_PEAK = {"ieee": 67e12, "tf32": 495e12 / 2, "bf16": 990e12 / 2}
# Documents that are evaluated to measure an evaluation; the rest is scaled.
_MEASURED_DOCUMENTS = 4


@dataclass(frozen=True)
class Size:
    """What a network and its training need in memory, in bytes where nothing else is said.

    Attributes:
        parameters: number of weights.
        trainable: number of those that are trained.
        operations: floating-point operations of a gradient step's forward pass.
        weights: the weights themselves.
        gradients: gradients alive together: one tensor's for plain descent, which applies each at once.
        optimizer: moments.
        activations: what one gradient step keeps for its backward pass.
        probes: copies of weights that probes keep.
        disk: the checkpoints and trajectories of an unfinished run.
    """

    parameters: int
    trainable: int
    operations: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    probes: int
    disk: int

    @property
    def memory(self) -> int:
        """Bytes on the device altogether."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.probes


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
    """

    config: RunConfig
    size: Size
    steps: int
    evaluations: int
    seconds: float
    how: str

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
            "time": f"about {_duration(self.seconds)} ({self.how})",
        }
        return "\n".join(f"{name:<8}{text}" for name, text in lines.items())


def estimate(config: RunConfig) -> Estimate:
    """What a run will cost. Writes nothing; no documents are read.

    Where the run's device is here and the network fits into its memory, a few gradient steps and evaluations
    of up to four documents are executed (weights random, text embedded: neither changes the time) and
    scaled; else the time is arithmetic for an H100, and says so.

    Raises:
        InputError: for a network that cannot be built.
    """
    size = measure_size(config)
    steps = config.num_documents * config.epochs * config.steps
    evaluations = 1 + config.num_documents * config.epochs
    reason = _not_here(config, size)
    if reason:
        step, evaluation = _arithmetic(config, size)
        bound = "at best and without the time that launching kernels takes"
        how = f"arithmetic for one {_REFERENCE}, {config.precision}, {bound}: {reason}"
    else:
        step, evaluation, device = _measured(config)
        how = f"measured here, {device}: a gradient step {step:.3g} s, an evaluation {evaluation:.3g} s"
    kinds = 2 if config.evaluate_summaries else 1
    seconds = steps * step + evaluations * evaluation * kinds
    return Estimate(config, size, steps, evaluations, seconds, how)


def measure_size(config: RunConfig) -> Size:
    """Memory and arithmetic of one gradient step.

    A language model is laid out and run with tensors that hold no numbers, whatever its size; for a task of
    images, whose networks are small, the network is built and one step's forward pass is run on the CPU.
    """
    if config.task == "language":
        from torch._subclasses.fake_tensor import FakeTensorMode

        from llm.networks.models import build_model

        with FakeTensorMode():
            model = build_model(dataclasses.replace(config, weights="random", vocabulary="model"), 1)
            passed = _forward(model, _language_step(model, config))
    else:
        import torch

        from llm.tasks.protocol import make_adapter

        adapter = make_adapter(_reduced(config, 2), torch.device("cpu"))
        model = adapter.model
        adapter.load(0)
        passed = _forward(model, adapter.loss)
    total = sum(p.numel() for p in model.parameters())
    trained = [p.numel() for p in model.parameters() if p.requires_grad]
    trainable, moments = sum(trained), 0 if config.optimizer == "sgd" else 2
    copies = ("pairwise" in config.probes) * (total + moments * trainable)
    copies += ("updates" in config.probes) * trainable
    saved = trainable * (1 if config.reset_optimizer else 1 + moments)
    return Size(
        parameters=total,
        trainable=trainable,
        operations=passed.operations,
        weights=4 * total,
        gradients=4 * (max(trained) if config.optimizer == "sgd" else trainable),
        optimizer=4 * moments * trainable,
        activations=passed.kept,
        probes=4 * copies,
        disk=4 * (2 * saved + _trajectories(config, model, passed.last)),
    )


@dataclass(frozen=True)
class _Passed:
    """One forward pass of a gradient step: bytes kept for the backward pass, operations, and the numbers
    that the output layer sees."""  # noqa: D205, D209

    kept: int
    operations: int
    last: int


def _forward(model: Any, step: Callable[[], torch.Tensor]) -> _Passed:
    """Do the step's forward pass and see what it keeps: each storage once, the logits among it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from llm.probes.layers import output_module

    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, Any] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    seen: list[tuple[int, int]] = []
    handle = output_module(model).register_forward_hook(
        lambda _, inputs, output: seen.append((inputs[0].numel(), output.numel()))
    )
    try:
        hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
        with FlopCounterMode(display=False) as counter, hooks:
            step()
    finally:
        handle.remove()
    last, logits = seen[-1]
    # The loss's own copy of the logits becomes their gradient.
    return _Passed(sum(s.nbytes() for s in kept.values()) + 4 * logits, counter.get_total_flops(), last)


def _language_step(model: Any, config: RunConfig) -> Callable[[], torch.Tensor]:
    """The network's part of one gradient step on a document."""
    import torch

    from llm.networks.models import split_head

    body, head = split_head(model)
    tokens = torch.zeros((1, config.context), dtype=torch.int64)

    def step() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            return head(body(tokens)[0, :-1])

    return step


def _reduced(config: RunConfig, documents: int) -> RunConfig:
    """The same network on a few tasks that need no download: neither weights nor data change the time."""
    return dataclasses.replace(
        config, documents="embedded", documents_subset=None, documents_revision=None, text_field=None,
        selection="auto", tokenizer=None, num_documents=documents, evaluate_summaries=False, weights="random",
        weights_file=None, shuffle_until=None, reverse_block=1, probes=(), probe_documents=(0,),
        vocabulary="model",
    )  # fmt: skip


def _trajectories(config: RunConfig, model: Any, last: int) -> int:
    """Numbers that trajectory probes keep on disk; `last` are those of a document's last activations."""
    from llm.probes import select_layer

    layers = {
        select_layer(model, config.probe_layer or default).name
        for probe, default in (("residuals", "all"), ("pca", "output"))
        if probe in config.probes
    }
    numbers = sum(select_layer(model, name).size for name in layers)
    numbers += ("activations" in config.probes) * len(config.probe_documents) * last
    return (1 + config.num_documents * config.epochs) * numbers


def _not_here(config: RunConfig, size: Size) -> str:
    """Why the run cannot be timed here; empty if it can."""
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        return "there is no GPU here"
    if config.device != "cpu" and torch.cuda.is_available():
        free = torch.cuda.mem_get_info()[0]
    else:
        free = _available()
    if 1.2 * size.memory > free:
        return f"of {_bytes(size.memory)} here are {_bytes(free)} free"
    return ""


def _arithmetic(config: RunConfig, size: Size) -> tuple[float, float]:
    """Seconds of a step and an evaluation: the larger of memory traffic and matrix products.

    A step of plain descent moves 24 bytes per weight (weights and their gradients through both passes and the
    update), Adam 16 more for its moments; a backward pass computes twice what the forward pass does.
    """
    peak = _PEAK[config.precision]
    moved = size.weights * (6 if config.optimizer == "sgd" else 10)
    step = max(moved / _BANDWIDTH, 3 * size.operations / peak)
    return step, max(size.weights / _BANDWIDTH, config.num_documents * size.operations / peak)


def _measured(config: RunConfig) -> tuple[float, float, str]:
    """Seconds of a step and an evaluation, and where they were measured."""
    import torch

    from llm.steps.optimizers import make_optimizer
    from llm.steps.precision import precision
    from llm.steps.step import EagerStep
    from llm.tasks.protocol import make_adapter

    documents = min(config.num_documents, _MEASURED_DOCUMENTS)
    small = _reduced(config, documents)
    cuda = config.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")

    def clock() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

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


def _available() -> int:
    """Bytes of host memory that a new process may take."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = dict(line.split(":", 1) for line in file)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"
