"""Cross entropy over a large vocabulary that holds one tensor of logits and no other of its size."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["leave_gradient", "mean_cross_entropy", "token_losses"]


def mean_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy in nats over the counted rows; **overwrites the logits** with their gradient.

    The library's keeps logits, log-probabilities and two gradients of that size: at 256 tokens and Pythia's
    vocabulary 50 MB each, more than all other activations of the small models, and slow to allocate.

    Args:
        logits: float32, shape ``(N, V)``, which nothing else needs any more.
        targets: int64, shape ``(N,)``; anything where not counted.
        counted: bool, shape ``(N,)``.
    """
    loss: torch.Tensor = _CrossEntropy.apply(logits, targets, counted)
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        weight, wanted = counted / counted.sum(), targets.clamp(min=0)[:, None]
        work = logits.detach()
        torch.log_softmax(work, 1, out=work)
        loss = -(work.gather(1, wanted)[:, 0] * weight).sum()
        ctx.gradient = leave_gradient(work, wanted, weight)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.gradient.mul_(gradients[0]), None, None


def leave_gradient(work: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """**Overwrite** log-probabilities with the gradient of a weighted mean of cross entropies.

    Args:
        work: log-probabilities, shape ``(N, V)``.
        wanted: int64, shape ``(N, 1)``.
        weight: of every row, shape ``(N,)``.
    """
    work.exp_().scatter_add_(1, wanted, torch.full(wanted.shape, -1.0, dtype=work.dtype, device=work.device))
    return work.mul_(weight[:, None])


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropy of every row in nats, shape ``(N,)``, without gradients; **overwrites the logits**."""
    torch.log_softmax(logits, 1, out=logits)
    return -logits.gather(1, targets[:, None])[:, 0]
