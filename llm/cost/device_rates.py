"""What a device can do at best, measured on the spot: matrix products and memory traffic."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["copy_bandwidth", "matrix_rate", "timed"]


def timed(work: Callable[[], object], device: torch.device, repeats: int, warm_up: int = 2) -> list[float]:
    """Seconds of each repetition; on a GPU between events on its stream, after a warm-up."""
    import torch

    for _ in range(warm_up):
        work()
    if device.type != "cuda":
        seconds = []
        for _ in range(repeats):
            begun = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - begun)
        return seconds
    torch.cuda.synchronize()
    events = [(torch.cuda.Event(True), torch.cuda.Event(True)) for _ in range(repeats)]
    for begin, end in events:
        begin.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in events]


def matrix_rate(device: torch.device, size: int | None = None, repeats: int = 5) -> float:
    """Operations per second of a square product of random float32 matrices, in the precision in force.

    Args:
        device: where.
        size: rows and columns; large enough to fill the device if None.
        repeats: how often; the median counts.
    """
    import torch

    size = size or (8192 if device.type == "cuda" else 512)
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    out = torch.empty_like(left)
    seconds = sorted(timed(lambda: torch.mm(left, right, out=out), device, repeats))
    return 2 * size**3 / seconds[repeats // 2]


def copy_bandwidth(device: torch.device, size: int | None = None, repeats: int = 5) -> float:
    """Bytes per second, read and written together, of a copy within the device's memory.

    Args:
        device: where.
        size: bytes of the copy; many times the caches if None.
        repeats: how often; the median counts.
    """
    import torch

    size = size or (4 << 30 if device.type == "cuda" else 64 << 20)
    source = torch.randn(size // 4, device=device)
    target = torch.empty_like(source)
    seconds = sorted(timed(lambda: target.copy_(source), device, repeats))
    return 2 * size / seconds[repeats // 2]
