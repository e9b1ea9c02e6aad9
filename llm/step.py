"""How one gradient step and one evaluation are executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from llm.config import RunConfig

__all__ = ["EagerStep", "make_optimizer"]


def make_optimizer(config: RunConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The configured optimizer; fused kernels do the update in one pass over each tensor."""
    import torch

    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, fused=True)
    return torch.optim.Adam(parameters, lr=config.lr, fused=True)


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the next token, shape ``(B, C-1)`` in nats; 0 where the label is ignored."""
    import torch

    flat = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="none"
    )
    return flat.view(labels.shape[0], -1)


@dataclass
class EagerStep:
    """Plain execution: forward, backward, update; evaluation of all documents in one batch.

    Attributes:
        model: a causal language model.
        optimizer: over the trainable parameters.
        tokens: int64, shape ``(T, C)``.
        labels: int64, shape ``(T, C)``, -100 where padded.
    """

    model: Any
    optimizer: torch.optim.Optimizer
    tokens: torch.Tensor
    labels: torch.Tensor

    def train(self, document: int, steps: int) -> None:
        """Take `steps` gradient steps on one document; the loss is its mean over predicted tokens."""
        tokens = self.tokens[document : document + 1]
        labels = self.labels[document : document + 1]
        counted = (labels[:, 1:] >= 0).sum()
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            logits = self.model(input_ids=tokens, use_cache=False).logits
            (token_losses(logits, labels).sum() / counted).backward()
            self.optimizer.step()

    def evaluate(self) -> torch.Tensor:
        """Mean loss of every document, float32, shape ``(T,)``."""
        import torch

        with torch.inference_mode():
            logits = self.model(input_ids=self.tokens, use_cache=False).logits
            losses = token_losses(logits, self.labels)
            return losses.sum(1) / (self.labels[:, 1:] >= 0).sum(1)

    def reset_optimizer(self) -> None:
        """Forget the optimizer's state (moments and step counts), as at the start of a run."""
        self.optimizer.state.clear()
