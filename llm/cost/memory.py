"""Memory: how it is got, and what to say when there is too little."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm.config import RunConfig
from toymodel.base.errors import InputError
from toymodel.base.memory import available_memory
from toymodel.base.words import arg

if TYPE_CHECKING:
    import torch

__all__ = ["enough_memory", "free_memory", "large_pages"]

# Of glibc's mallopt. The values below are those to which it raises them by itself, some time.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def free_memory(device: torch.device) -> int:
    """Bytes that a run may take there; without limit where the system does not say."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = available_memory()
    return sys.maxsize if available is None else available


def large_pages() -> None:
    """Let torch ask for large pages on the CPU, and keep what it frees; numbers stay the same.

    Tensors as large as an embedding's gradient are new memory at every step. In small pages that costs about
    as much as the arithmetic on them (100 MB: 47 ms against 10 ms measured); heeded where torch has not
    allocated memory yet. Smaller ones the C library may hand back to the system after every evaluation, to
    fetch them anew, page by page, at the next: it keeps from the beginning what it would come to keep.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library has other ways
        keep = ctypes.CDLL(None).mallopt
        keep(_MMAP_THRESHOLD, 32 << 20)
        keep(_TRIM_THRESHOLD, 64 << 20)


@contextlib.contextmanager
def enough_memory(config: RunConfig) -> Iterator[None]:
    """Say in one line how much memory a run needs, and what would lower it, when it runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own errors of this kind are RuntimeErrors
        if not isinstance(error, MemoryError) and "memory" not in str(error).split("\n")[0].lower():
            raise
        from llm.cost.size import measure_size

        knobs = [arg("freeze_blocks"), "a smaller " + arg("model") + " or " + arg("context")]
        if config.optimizer != "sgd":
            knobs.insert(0, arg("optimizer", "sgd") + " (no moments)")
        needed = "more memory"
        with contextlib.suppress(InputError):  # not every network can be measured
            needed = f"about {measure_size(config).memory / 1e9:.1f} GB free"
        raise InputError(
            f"out of memory with {config.model} at context {config.context}",
            expected=f"{needed}; what a checkpoint holds is not lost",
            fix=", ".join(knobs),
        ) from error
