"""What a run will cost, before it is started: work, memory, disk and time."""

from __future__ import annotations

import dataclasses
import os
import time
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
        embedding: number of those that only look up tokens, and so cost no arithmetic.
        weights: the weights themselves.
        gradients: gradients alive together: one tensor's for plain descent, which applies each at once.
        optimizer: moments.
        activations: what one gradient step keeps for its backward pass, and the logits' gradient.
        probes: copies of weights that probes keep.
        disk: the checkpoints and trajectories of an unfinished run.
    """

    parameters: int
    trainable: int
    embedding: int
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
        lines = {
            "run": f"{config.id}",
            "model": f"{config.model}, {config.weights} weights: {size.parameters:,} parameters, "
            + (f"{frozen:,} of them frozen" if frozen else "all trained"),
            "work": f"{episodes} episodes of {config.steps}: {self.steps} gradient steps, "
            f"{self.evaluations} evaluations of {config.num_documents} documents",
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
    """Memory from shapes alone: the network is laid out and run with tensors that hold no numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from llm.models import build_model

    with FakeTensorMode():
        model = build_model(dataclasses.replace(config, weights="random", vocabulary="model"), 1)
        activations = _activations(model, config)
    parameters = list(model.parameters())
    total = sum(p.numel() for p in parameters)
    trained = [p.numel() for p in parameters if p.requires_grad]
    trainable, moments = sum(trained), 0 if config.optimizer == "sgd" else 2
    copies = ("pairwise" in config.probes) * (total + moments * trainable)
    copies += ("updates" in config.probes) * trainable
    saved = trainable * (1 if config.reset_optimizer else 1 + moments)
    table = model.get_input_embeddings().weight
    tied = table is getattr(model.get_output_embeddings(), "weight", None)
    return Size(
        parameters=total,
        trainable=trainable,
        embedding=0 if tied else table.numel(),
        weights=4 * total,
        gradients=4 * (max(trained) if config.optimizer == "sgd" else trainable),
        optimizer=4 * moments * trainable,
        activations=activations,
        probes=4 * copies,
        disk=4 * (2 * saved + _trajectories(config, model)),
    )


def _activations(model: Any, config: RunConfig) -> int:
    """Bytes that a forward pass leaves for its backward pass, each storage once, logits among them."""
    import torch

    from llm.models import split_head

    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, Any] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    body, head = split_head(model)
    tokens = torch.zeros((1, config.context), dtype=torch.int64)
    half = torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16")
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), half:
        logits = head(body(tokens)[0, :-1])
    return sum(storage.nbytes() for storage in kept.values()) + 4 * logits.numel()


def _trajectories(config: RunConfig, model: Any) -> int:
    """Numbers that trajectory probes keep on disk."""
    from llm.probes import select_layer

    states = 1 + config.num_documents * config.epochs
    layers = {
        select_layer(model, config.probe_layer or default).name
        for probe, default in (("residuals", "all"), ("pca", "output"))
        if probe in config.probes
    }
    numbers = sum(select_layer(model, name).size for name in layers)
    if "activations" in config.probes:
        width = model.config.hidden_size
        numbers += len(config.probe_documents) * (config.context - 1) * width
    return states * numbers


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
    update), Adam 16 more for its moments; 6 operations per weight and token, 2 without a backward pass.
    """
    peak = _PEAK[config.precision]
    moved = size.weights * (6 if config.optimizer == "sgd" else 10)
    products = 2 * (size.parameters - size.embedding) * config.context
    step = max(moved / _BANDWIDTH, 3 * products / peak)
    return step, max(size.weights / _BANDWIDTH, config.num_documents * products / peak)


def _measured(config: RunConfig) -> tuple[float, float, str]:
    """Seconds of a step and an evaluation, and where they were measured."""
    import torch

    from llm.adapter import make_adapter
    from llm.optimizers import make_optimizer
    from llm.precision import precision
    from llm.step import EagerStep

    documents = min(config.num_documents, _MEASURED_DOCUMENTS)
    small = dataclasses.replace(
        config, documents="embedded", documents_subset=None, documents_revision=None, text_field=None,
        selection="auto", tokenizer=None, num_documents=documents, evaluate_summaries=False, weights="random",
        shuffle_until=None, reverse_block=1, probes=(), probe_documents=(0,), vocabulary="model",
    )  # fmt: skip
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
