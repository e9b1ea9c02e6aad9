"""Weights: drawn at random, or read from safetensors; and their hash."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.data.gguf import library_arguments, loading_gguf, quantization
from llm.data.quiet import quiet
from toymodel.base.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["initialize", "load_weights", "weight_hash"]


def load_weights(kind: Any, folder: Path | None, config: RunConfig, common: dict[str, Any]) -> Any:
    """A model with the safetensors of a checkpoint's folder.

    Args:
        kind: the library's class of the model.
        folder: the checkpoint.
        config: what is being built, for messages.
        common: further arguments of ``from_pretrained``.

    Raises:
        InputError: for weights that are pickled, damaged, or lack a part of the model.
    """
    assert folder is not None
    where, more = library_arguments(folder)
    if not more and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"--model {config.model} holds no model.safetensors",
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
        raise InputError(
            f"the weights of --model {config.model} cannot be loaded ({str(error).strip().splitlines()[0]})",
            expected="whole safetensors files that match config.json",
            fix="copy or download the checkpoint again",
        ) from error
    if report["mismatched_keys"]:
        name, found, wanted = min(report["mismatched_keys"])
        raise InputError(
            f"the weights of --model {config.model} are of another shape than its settings say: {name} has "
            f"{tuple(found)}, not {tuple(wanted)}",
            expected="weights and settings of one network",
            fix="copy or download the checkpoint again",
        )
    if report["missing_keys"]:
        raise InputError(
            f"the weights of --model {config.model} lack {', '.join(sorted(report['missing_keys'])[:3])}",
            expected="a checkpoint of the whole model",
            fix="--weights random, or another folder",
        )
    if more:
        if left := [name for name, p in model.named_parameters() if p.dtype != common["dtype"]]:
            problem = ValueError(f"{left[0]} is not dequantised")
            raise loading_gguf(folder, problem)
        model.quantization = quantization(folder)
    return model


def _dequantized(more: dict[str, Any]) -> dict[str, Any]:
    """Arguments that unpack a GGUF file's blocks: where the library has kernels for them it keeps them."""
    import transformers

    if not more or not hasattr(transformers, "GgufConfig"):
        return more
    return more | {"quantization_config": transformers.GgufConfig(dequantize=True)}


def initialize(model: Any, scheme: str) -> None:
    """Draw random weights; biases 0, normalisations the identity.

    ``pythia`` (Biderman et al. 2023): std sqrt(2 / 5d) everywhere but where a block writes its output, there
    2 / (L sqrt d). ``normal``: std 0.02 everywhere (paper section B.4). Other architectures than GPT-NeoX
    keep the library's own scheme under ``pythia``.
    """
    import torch

    architecture = model.config
    if scheme == "pythia" and architecture.model_type != "gpt_neox":
        return
    width, layers = architecture.hidden_size, architecture.num_hidden_layers
    small, output = math.sqrt(2 / (5 * width)), 2 / (layers * math.sqrt(width))
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            identity = name.endswith("weight")  # vectors called weight are normalisations' gains
            torch.nn.init.constant_(parameter, float(identity))
        elif scheme == "normal":
            torch.nn.init.normal_(parameter, 0.0, 0.02)
        else:
            writes = name.endswith(("attention.dense.weight", "dense_4h_to_h.weight"))
            torch.nn.init.normal_(parameter, 0.0, output if writes else small)


def weight_hash(model: torch.nn.Module) -> str:
    """SHA-256 over names and bytes of all parameters, in name order."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
