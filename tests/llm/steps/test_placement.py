"""On a GPU a whole step stays there. Judged without one: by tensors that have a device but no numbers."""

import dataclasses

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from llm.presets import preset
from llm.registry import make_adapter
from llm.steps.optimizers import make_optimizer
from llm.vision import classification
from tests.llm.steps.test_graph import KINDS, TINY

TASKS = {
    **{name: dataclasses.replace(TINY, **changes) for name, changes in KINDS.items()},
    "dropout": dataclasses.replace(TINY, dropout=True),
    **{name: preset(f"{name}-embedded") for name in ("fig7a-small", "fig7b-vit", "fig7b-vgg")},
}


class Devices(TorchDispatchMode):
    """Where the results of operations lie."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        outputs = function(*args, **kwargs or {})
        for leaf in tree_leaves(outputs):
            if isinstance(leaf, torch.Tensor):
                self.seen.setdefault(leaf.device.type, function)
        return outputs


def moved(module, device):
    """`torch.nn.Module.to`, which cannot move tensors without numbers."""
    found = {}
    for part in module.modules():
        for name, tensor in part.named_parameters(recurse=False):
            if tensor not in found:
                found[tensor] = torch.nn.Parameter(tensor.detach().to(device), tensor.requires_grad)
            part._parameters[name] = found[tensor]
        for name, tensor in part.named_buffers(recurse=False):
            part._buffers[name] = tensor.to(device)
    return module


def with_numbers(function):
    """The function on tensors that have numbers."""

    def called(*arguments):
        with unset_fake_temporarily():
            return function(*arguments)

    return called


@pytest.fixture
def gpu(monkeypatch):
    """A device that takes tensors without numbers."""
    monkeypatch.setattr(torch.nn.Module, "to", moved)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    for name in ("build_classifier", "load_batches"):  # images and initial weights are looked at
        monkeypatch.setattr(classification, name, with_numbers(getattr(classification, name)))
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.device("cuda")


@pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")  # said of autocast, on a CPU
@pytest.mark.parametrize("name", TASKS)
def test_losses_neither_leave_the_device_nor_ask_it(gpu, name):
    adapter = make_adapter(dataclasses.replace(TASKS[name], device="cuda"), gpu)
    for step in range(2):
        adapter.load(1, 0, step)
        with Devices() as devices:
            loss = adapter.loss()
        assert set(devices.seen) == {"cuda"}, devices.seen
        assert (loss.device.type, loss.shape) == ("cuda", ())
    with Devices() as devices:
        losses = adapter.losses()
    assert set(devices.seen) == {"cuda"}, devices.seen
    assert losses.shape == (adapter.tasks,)


def test_steps_in_products_stay_on_the_device(gpu, monkeypatch):
    # Autograd, which attention's own gradient takes, asks for a real device.
    monkeypatch.setattr(
        torch.autograd, "grad", lambda _, inputs, gradient: list(map(torch.empty_like, inputs))
    )
    config = dataclasses.replace(TASKS["sgd"], device="cuda", version=2)
    adapter = make_adapter(config, gpu)
    optimizer = make_optimizer(config, adapter.model)
    adapter.load(1, 0, 0)
    with Devices() as devices:
        optimizer.update(adapter)
        optimizer.update(adapter)
    assert set(devices.seen) == {"cuda"}, devices.seen


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_moments_and_step_counts_live_on_the_device(gpu, name):
    adapter = make_adapter(dataclasses.replace(TASKS[name], device="cuda"), gpu)
    optimizer = make_optimizer(TASKS[name], adapter.model)
    with Devices() as devices:
        for _ in range(2):
            for parameter in adapter.model.parameters():
                parameter.grad = torch.zeros_like(parameter)
            optimizer.optimizer.step()
        optimizer.reset()
    assert set(devices.seen) == {"cuda"}, devices.seen
    state = optimizer.state()
    optimizer.load_state({key: torch.zeros(value.shape, device="cpu") for key, value in state.items()})
    assert {value.device.type for value in optimizer.state().values()} == {"cuda"}


def test_what_would_fail_there_fails_here(gpu):
    adapter = make_adapter(dataclasses.replace(TINY, device="cuda"), gpu)
    adapter.load(0)
    with pytest.raises(torch._subclasses.fake_tensor.DataDependentOutputException):
        adapter.loss().item()
    adapter.targets = torch.zeros(TINY.context, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="device"):
        adapter.loss()
