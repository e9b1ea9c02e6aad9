"""Weights: drawn at random, or read from safetensors; and their hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.data.gguf import library_arguments, loading_gguf, quantization
from llm.data.quiet import quiet
from llm.networks.drawing import deviations, in_threads, laid_out
from toymodel.base.errors import InputError
from toymodel.base.words import arg, first_line

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["initialize", "load_weights", "weight_hash", "weight_hash_later"]

_PIECE = 1 << 22  # numbers hashed at a time
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of a block, in the name of a weight


def load_weights(kind: Any, folder: Path | None, config: RunConfig, common: dict[str, Any]) -> Any:
    """A model with the safetensors of a checkpoint's folder.

    Args:
        kind: the library's class of the model.
        folder: the checkpoint.
        config: what is being built, for messages.
        common: further arguments of ``from_pretrained``.

    Raises:
        InputError: for weights that are pickled, damaged, lack a part of the model, or have more
            blocks than it.
    """
    assert folder is not None
    where, more = library_arguments(folder)
    if not more and not any(folder.glob("*.safetensors")):
        raise InputError(
            arg("model", config.model) + " holds no model.safetensors",
            expected="weights as safetensors: pickles (.bin, .pt) are never loaded",
            fix="save it with save_pretrained on a machine that trusts the file",
        )
    try:
        with quiet():
            model, report = kind.from_pretrained(
                where, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **common,
                **_dequantized(more),
            )  # fmt: skip
    except Exception as error:  # damaged files raise safetensors', json's or torch's errors
        if more:
            raise loading_gguf(folder, error) from error
        said = f"cannot be loaded ({first_line(error)})"
        raise _unusable(config, said, "whole safetensors files that match config.json") from error
    if report["mismatched_keys"]:
        name, found, wanted = min(report["mismatched_keys"])
        said = f"are of another shape than its settings say: {name} has {tuple(found)}, not {tuple(wanted)}"
        raise _unusable(config, said, "weights and settings of one network")
    if report["missing_keys"]:
        said = f"lack {', '.join(sorted(report['missing_keys'])[:3])}"
        raise _unusable(config, said, "a checkpoint of the whole model",
                        arg("weights", "random") + ", or another folder")  # fmt: skip
    unused = sorted(report["unexpected_keys"])
    kinds = {_NUMBER.sub("#", name) for name in model.state_dict()}
    if further := [name for name in unused if _NUMBER.sub("#", name) in kinds]:
        wanted = "weights and settings of one network: without its last blocks it is another"
        raise _unusable(config, f"have {further[0]}, beyond what its settings say", wanted,
                        "copy config.json again")  # fmt: skip
    model.unused = unused
    if more:
        if left := [name for name, p in model.named_parameters() if p.dtype != common["dtype"]]:
            problem = ValueError(f"{left[0]} is not dequantised")
            raise loading_gguf(folder, problem)
        model.quantization = quantization(folder)
    return model


def _unusable(
    config: RunConfig, said: str, expected: str, fix: str = "copy or download the checkpoint again"
) -> InputError:
    return InputError(f"the weights of {arg('model', config.model)} {said}", expected=expected, fix=fix)


def _dequantized(more: dict[str, Any]) -> dict[str, Any]:
    """Arguments that unpack a GGUF file's blocks: where the library has kernels for them it keeps them."""
    import transformers

    if not more or not hasattr(transformers, "GgufConfig"):
        return more
    return more | {"quantization_config": transformers.GgufConfig(dequantize=True)}


def initialize(model: Any, scheme: str) -> None:
    """Draw random weights, one parameter after another from torch's generator; biases 0, gains of norms 1.

    Networks of version 1 are drawn so (`llm.networks.drawing` has the later way); of those but GPT-NeoX the
    scheme ``pythia`` keeps the library's own drawing.
    """
    import torch

    scale = deviations(model, scheme)
    if scheme == "pythia" and model.config.model_type != "gpt_neox":
        return
    assert scale is not None
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            identity = name.endswith("weight")  # vectors called weight are normalisations' gains
            torch.nn.init.constant_(parameter, float(identity))
        else:
            torch.nn.init.normal_(parameter, 0.0, scale[name])


def weight_hash(model: torch.nn.Module, version: int = 1) -> str:
    """SHA-256 of all parameters, in name order.

    Args:
        model: whose.
        version: 1 over names and bytes; 2 over names and the hashes of pieces, which all cores take.
    """
    return _hash(_arrays(model), version)


def weight_hash_later(model: torch.nn.Module, version: int, device: torch.device) -> Callable[[], str]:
    """A function that gives the `weight_hash` of a model as it is now.

    Args:
        model: on the CPU.
        version: of the hash.
        device: to which the model is about to be moved. Where that leaves these weights behind they are
            hashed meanwhile; on the CPU not before the function is called, before anything is trained.
    """
    if device.type == "cpu" or laid_out(model):
        return lambda: weight_hash(model, version)
    thread = ThreadPoolExecutor(1, "hash")
    hashing = thread.submit(_hash, _arrays(model), version)
    thread.shutdown(wait=False)
    return hashing.result


def _arrays(model: torch.nn.Module) -> list[tuple[str, np.ndarray]]:
    return [(name, p.detach().cpu().contiguous().numpy()) for name, p in sorted(model.named_parameters())]


def _hash(parameters: list[tuple[str, np.ndarray]], version: int) -> str:
    digest = hashlib.sha256()
    if version == 1:
        for name, values in parameters:
            digest.update(name.encode())
            digest.update(values.data)
        return digest.hexdigest()
    pieces = []
    for name, values in parameters:
        flat = values.reshape(-1)
        pieces += [(name, flat[k : k + _PIECE]) for k in range(0, len(flat), _PIECE)]
    for (name, _), found in zip(pieces, in_threads(lambda piece: _digest(piece[1]), pieces), strict=True):
        digest.update(name.encode())
        digest.update(found)
    return digest.hexdigest()


def _digest(values: np.ndarray) -> bytes:
    return hashlib.sha256(values.data).digest()
