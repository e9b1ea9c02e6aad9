"""Tensors on disk: safetensors files that appear whole or not at all, with a checksum of every tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodel.base.checksum import Damaged, agrees, checksum
from toymodel.base.files import atomic_path
from toymodel.base.words import one_line

if TYPE_CHECKING:
    import torch

__all__ = ["load_tensors", "save_tensors"]

Tensors = dict[str, "torch.Tensor"]


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any], older: Path | None = None
) -> None:
    """Write tensors, and what is to be said about them as JSON.

    Args:
        path: the file.
        tensors: by name.
        about: a JSON object.
        older: what an older file of that name is called from then on, in place of being replaced.

    Raises:
        OSError: when the disk is full, or whatever else kept them from being written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sums = {name: checksum(_parts(tensor)) for name, tensor in flat.items()}
    content = json.dumps({"about": about, "checksums": sums}, sort_keys=True)
    with atomic_path(path, older) as temporary:
        try:
            save_file(flat, temporary, metadata={"content": content, "checksum": checksum([content])})
        except SafetensorError as error:
            raise OSError(f"{path} could not be written: {error}") from error


def load_tensors(path: Path, only: str | None = None) -> tuple[Tensors, dict[str, Any]]:
    """Read tensors, or only one, and what is said about them; files without checksums are read all the same.

    Raises:
        Damaged: when anything in the file is not as it was written.
        OSError: when there is no such file, or it cannot be read.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            names = [only] if only is not None else list(stored.keys())
            tensors = {name: stored.get_tensor(name) for name in names}
    except OSError:
        raise
    except Exception as error:  # whatever a damaged header makes a parser raise
        raise Damaged(one_line(error, kind=True)) from error
    if "checksum" not in metadata or "content" not in metadata:
        if {"checksum", "content"} & set(metadata):
            raise Damaged("its checksums are missing")
        return tensors, metadata
    if not agrees(metadata["checksum"], [metadata["content"]]):
        raise Damaged("its header does not agree with its checksum")
    content = json.loads(metadata["content"])
    sums: dict[str, str] = content["checksums"]
    if only is None and set(sums) != set(tensors):
        raise Damaged("it does not hold the tensors that were written")
    for name, tensor in tensors.items():
        if not agrees(sums.get(name), _parts(tensor)):
            raise Damaged(f"{name} does not agree with its checksum")
    return tensors, content["about"]


def _parts(tensor: torch.Tensor) -> Iterator[Any]:
    import torch

    yield f"{tensor.dtype} {tuple(tensor.shape)}"
    # Through bytes, as NumPy has no bfloat16; a tensor without dimensions has no bytes to view.
    yield tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b""
