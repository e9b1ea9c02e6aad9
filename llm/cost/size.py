"""What a network and its training need in memory and on the disk, found without drawing a number."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from toymodel.base.errors import InputError
from toymodel.base.words import arg, one_line

if TYPE_CHECKING:
    import torch

__all__ = ["Size", "measure_size", "with_few_tasks"]


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


def measure_size(config: RunConfig) -> Size:
    """Memory and arithmetic of one gradient step.

    A language model is laid out and run with tensors that hold no numbers, whatever its size; for a task of
    images, whose networks are small, the network is built and one step's forward pass is run on the CPU.

    Raises:
        InputError: for a network that cannot be followed without numbers, or not built.
    """
    if config.task == "language":
        from torch._subclasses.fake_tensor import FakeTensorMode

        from llm.networks.models import build_model

        with FakeTensorMode():
            model = build_model(dataclasses.replace(config, weights="random", vocabulary="model"), 1)
            if expert_weights(model):
                # Which token goes to which expert takes numbers, unless each gathers the weights it needs.
                model.set_experts_implementation("batched_mm")
            with _followed(config):
                passed = _forward(model, _language_step(model, config))
    else:
        import torch

        from llm.registry import make_adapter

        adapter = make_adapter(with_few_tasks(config, 2), torch.device("cpu"))
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


def expert_weights(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The matrices of a mixture of experts, of which each token uses some; none for other networks."""
    return [p for module in model.modules() if hasattr(module, "num_experts")
            for p in module.parameters(recurse=False) if p.ndim == 3]  # fmt: skip


@contextlib.contextmanager
def _followed(config: RunConfig) -> Iterator[None]:
    """Say in one line that a network's way depends on the numbers in it."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        words = one_line(error, 160)
        raise InputError(
            arg("model", config.model) + f" cannot be followed without numbers ({words})",
            expected="a network whose memory and arithmetic its shapes tell",
            fix="leave the estimate out: it is trained all the same",
        ) from error


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

    from llm.networks.layers import output_module

    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    # Training reads experts' weights in place; here they are gathered, one copy to a token and expert.
    gathered = {p.shape[1:] for p in expert_weights(model)}
    kept: dict[int, Any] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights and not (tensor.ndim == 3 and tensor.shape[1:] in gathered):
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


def with_few_tasks(config: RunConfig, documents: int) -> RunConfig:
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
