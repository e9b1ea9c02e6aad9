"""Optimizers that keep no more memory than they must and reset in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from llm.config import RunConfig

if TYPE_CHECKING:
    import torch

    from llm.networks.fast.network import Networks
    from llm.tasks.protocol import TaskAdapter

__all__ = ["WrittenDescent", "GradientDescent", "Moments", "Optimizer", "make_optimizer"]


class Optimizer(Protocol):
    """Updates parameters in place; parameters and state never change their address."""

    @property
    def form(self) -> str:
        """How gradients become steps, for the manifest."""

    def update(self, adapter: TaskAdapter) -> None:
        """One gradient step on the loss of what is in the adapter's buffers."""

    def reset(self) -> None:
        """Forget the state, as at the start of a run."""

    def state(self) -> dict[str, torch.Tensor]:
        """State tensors by name; empty where there is none."""

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take over what `state` returned."""


def make_optimizer(config: RunConfig, model: torch.nn.Module) -> Optimizer:
    """The configured optimizer over the parameters that are not frozen."""
    import torch

    from llm.networks.fast.network import Networks, why_not
    from llm.networks.fast.updates import Descent, Gradients

    trainable = [p for p in model.parameters() if p.requires_grad]
    reason, exact = why_not(config, model), config.version < 2
    if config.optimizer == "sgd":
        apart = config.weight_decay or 0.0
        if reason is None:
            return WrittenDescent(Networks(model, Descent(config.rate, apart, exact)))
        return GradientDescent(trainable, config.rate, apart, reason)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    capturable = trainable[0].device.type == "cuda"
    # Fused kernels update in one pass over each tensor.
    decay = {} if config.weight_decay is None else {"weight_decay": config.weight_decay}
    chosen = kind(trainable, lr=config.rate, fused=True, capturable=capturable, **decay)
    # Capturable steps also run as they are (before a capture, or without one); torch would warn of each.
    chosen._warned_capturable_if_run_uncaptured = True
    return Moments(chosen, Networks(model, Gradients(exact)) if reason is None else None, reason or "")


class GradientDescent:
    """Plain gradient descent that applies each gradient as soon as it exists, then frees it.

    The update is that of `torch.optim.SGD` bit for bit, but all gradients are never alive together, which
    saves one copy of the weights. Outside `update` gradients accumulate as usual, for probes that want them.

    Args:
        parameters: what to train.
        rate: learning rate.
        decay: part of a weight, times the rate, that a step takes away beside the gradient.
        reason: why not in the backward products, where there was a choice.
    """

    def __init__(
        self, parameters: list[torch.nn.Parameter], rate: float, decay: float = 0.0, reason: str = ""
    ) -> None:
        self.rate = rate
        self.form = "gradients, each applied as soon as it exists" + (f" ({reason})" if reason else "")
        self.decay = decay
        self._updating = False
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._apply)

    def _apply(self, parameter: torch.Tensor) -> None:
        if self._updating:
            assert parameter.grad is not None
            # A leaf may be written in a hook: every use of it in this backward pass is over by now.
            if self.decay:
                parameter.data.mul_(1 - self.rate * self.decay)
            parameter.data.add_(parameter.grad, alpha=-self.rate)
            parameter.grad = None

    def update(self, adapter: TaskAdapter) -> None:
        """One gradient step on the loss of what is in the adapter's buffers."""
        self._updating = True
        try:
            adapter.loss().backward()
        finally:
            self._updating = False

    def reset(self) -> None:
        """Nothing to forget."""

    def state(self) -> dict[str, torch.Tensor]:
        """No state."""
        return {}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """No state."""


class WrittenDescent:
    """Plain gradient descent by networks that are written out (`llm.networks.fast.updates.Descent`).

    Equal to `GradientDescent`, bit for bit where they are exact, else to rounding. Outside `update` the model
    is the library's, and has gradients.

    Args:
        networks: of the model, which descend.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self.form = ("gradients written out, each applied as soon as it exists" if networks.exact
                     else "descent in the backward products")  # fmt: skip

    def update(self, adapter: TaskAdapter) -> None:
        """One gradient step on the loss of what is in the adapter's buffers."""
        network = self._networks.of(adapter.inputs.shape[1])
        network.step(adapter.inputs, adapter.targets, adapter.counted())

    def reset(self) -> None:
        """Nothing to forget."""

    def state(self) -> dict[str, torch.Tensor]:
        """No state."""
        return {}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """No state."""


class Moments:
    """An optimizer of torch that keeps moments (Adam, AdamW).

    Args:
        optimizer: the optimizer; its state appears with the first update.
        networks: of the model, which find the gradients; autograd if None.
        reason: why autograd, where there was a choice.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, networks: Networks | None = None, reason: str = ""
    ) -> None:
        self.optimizer = optimizer
        joint = networks is not None and not networks.exact
        how = "gradients by joint products" if joint else "gradients written out" if networks else "gradients"
        self.form = f"{how}, then {type(optimizer).__name__} in one pass" + (f" ({reason})" if reason else "")
        self._networks = networks
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def update(self, adapter: TaskAdapter) -> None:
        """One gradient step on the loss of what is in the adapter's buffers."""
        self._clear()
        if self._networks is None:
            adapter.loss().backward()
        else:
            network = self._networks.of(adapter.inputs.shape[1])
            network.step(adapter.inputs, adapter.targets, adapter.counted())
        self.optimizer.step()
        self._clear()  # frees them before all tasks are evaluated

    def _clear(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def reset(self) -> None:
        """Zero the moments and step counts in place, all by one call."""
        import torch

        if tensors := [t for values in self.optimizer.state.values() for t in values.values()]:
            torch._foreach_zero_(tensors)

    def state(self) -> dict[str, torch.Tensor]:
        """Moments and step counts, ``index.key``."""
        stored = self.optimizer.state_dict()["state"]
        return {f"{index}.{key}": value for index, values in stored.items() for key, value in values.items()}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take over what `state` returned."""
        nested: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in state.items():
            index, key = name.split(".", 1)
            nested.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": nested})
