"""Arithmetic of matrix products: set for a run, put back after it, and reported as it is in force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig

if TYPE_CHECKING:
    import torch

__all__ = ["autocast", "in_force", "precision"]


@contextlib.contextmanager
def precision(config: RunConfig) -> Iterator[None]:
    """Put the configured precision in force for a block.

    Only torch's older switches are used: they work under compilation, and mixing them with the newer ones
    is an error there. Convolutions have a switch of their own, on by default, which follows the same choice.
    """
    import torch

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    tf32 = config.precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextlib.contextmanager
def autocast(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Forward passes in the configured arithmetic: under bfloat16 autocast, or as they are."""
    import torch

    if config.precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    else:
        yield


def in_force(config: RunConfig) -> dict[str, Any]:
    """What computes now, read back from torch; weights, gradients and optimizer state are float32 always."""
    import torch

    return {
        "weights": "float32",
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "autocast": "bfloat16" if config.precision == "bf16" else None,
    }
