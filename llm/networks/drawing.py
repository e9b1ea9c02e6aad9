"""Random weights: one stream of random numbers to each parameter, drawn by all cores.

A block of a parameter is drawn by a counter-based generator (`llm.networks.normals`) whose key is made of the
seed and the parameter's name and whose counter holds the block's number. So the weights depend on seed and
names alone: not on the device, the number of threads, the order of parameters or the library's drawing.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from llm.config import RunConfig
from llm.networks.normals import normals

__all__ = ["deviations", "draw", "drawing_form", "in_threads", "laid_out"]

# Numbers to a block: a few milliseconds of work for one core.
_BLOCK = 1 << 19


def deviations(model: Any, scheme: str) -> dict[str, float] | None:
    """Standard deviation of every matrix under a scheme; None where only the library knows.

    ``pythia`` (Biderman et al. 2023): std sqrt(2 / 5d) everywhere but where a block writes its output, there
    2 / (L sqrt d). ``normal``: std 0.02 everywhere (paper section B.4). Llama and GPT-2 keep their own scheme
    under ``pythia``, the latter with what writes a block's output divided by sqrt(2 L) (Radford et al. 2019).
    """
    architecture = model.config
    kind = architecture.model_type
    matrices = [name for name, parameter in model.named_parameters() if parameter.ndim >= 2]
    if scheme == "normal":
        return dict.fromkeys(matrices, 0.02)
    if kind == "gpt_neox":
        width, layers = architecture.hidden_size, architecture.num_hidden_layers
        common, output = math.sqrt(2 / (5 * width)), 2 / (layers * math.sqrt(width))
        writes: tuple[str, ...] = ("attention.dense.weight", "dense_4h_to_h.weight")
    elif kind in ("llama", "gpt2"):
        common = architecture.initializer_range
        output = common / math.sqrt(2 * architecture.num_hidden_layers)
        writes = ("c_proj.weight",) if kind == "gpt2" else ()
    else:
        return None
    return {name: output if name.endswith(writes) else common for name in matrices}


def laid_out(model: Any) -> bool:
    """Whether a network's tensors have shapes and a device, but no numbers."""
    from torch._subclasses.fake_tensor import FakeTensor

    return any(isinstance(parameter.detach(), FakeTensor) for parameter in model.parameters())


def drawing_form(model: Any, config: RunConfig) -> str:
    """Where the initial weights of a run's network come from, for the manifest."""
    if config.weights == "pretrained":
        return "read from a checkpoint"
    if config.version >= 2 and config.task == "language" and deviations(model, config.init) is not None:
        return "a stream of random numbers to each parameter"
    other = ""
    if config.version >= 2:
        what = config.task if config.task != "language" else model.config.model_type
        other = f" (version 2 has no other way for {what})"
    return f"torch's generator, one parameter after another{other}"


def draw(model: Any, scheme: str, seed: int) -> None:
    """Fill a model on the CPU; biases 0, gains of norms 1.

    Args:
        model: one that `deviations` knows, in float32.
        scheme: of the deviations.
        seed: 0 to 2**63 - 1.
    """
    import torch

    scale = deviations(model, scheme)
    assert scale is not None
    if laid_out(model):
        return
    blocks: list[tuple[np.ndarray, str, int, float]] = []
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy().reshape(-1)
        if name not in scale:
            values[:] = name.endswith("weight")  # vectors called weight are gains of norms
            continue
        for number, first in enumerate(range(0, len(values), _BLOCK)):
            blocks.append((values[first : first + _BLOCK], name, number, scale[name]))
    fill = normals()
    keys = {name: _key(seed, name) for name in scale}
    in_threads(lambda block: fill(block[0], keys[block[1]], block[2], block[3]), blocks)
    if scheme != "normal":
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight.data[module.padding_idx] = 0  # as the library has it


def _key(seed: int, name: str) -> np.ndarray:
    """Two words of 32 bits that no two parameters or seeds are likely to share."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.frombuffer(digest[:8], dtype="<u4").astype(np.uint32)


def in_threads(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Results in order, of work that lets other threads run meanwhile."""
    todo = list(items)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1 or len(todo) < 2:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(work, todo))
