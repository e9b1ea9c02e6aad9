"""Which parameters a probe looks at: by name, or the paper's choice for a network of any depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest_few

if TYPE_CHECKING:
    import torch

__all__ = ["Layer", "attention_layer", "output_module", "select_layer"]


@dataclass(frozen=True)
class Layer:
    """A set of parameters, in the model's order.

    Attributes:
        name: ``all``, or the module's or parameter's name.
        parameters: by name, each once.
    """

    name: str
    parameters: dict[str, torch.nn.Parameter]

    @property
    def size(self) -> int:
        """Number of entries."""
        return sum(parameter.numel() for parameter in self.parameters.values())


def select_layer(model: torch.nn.Module, name: str) -> Layer:
    """The layer of that name.

    Args:
        model: the network.
        name: a module (``gpt_neox.layers.3.attention``), a parameter, ``output`` for the output layer
            whatever the library calls it, or ``all`` for every parameter.

    Raises:
        InputError: for a name that the model lacks, with the nearest ones it has.
    """
    if name == "all":
        return Layer(name, dict(model.named_parameters()))
    if name == "output":
        name = _name_of(model, output_module(model))
    every = dict(model.named_parameters(remove_duplicate=False))
    inside = {n: p for n, p in every.items() if n == name or n.startswith(f"{name}.")}
    if not name or not inside:
        known = sorted({part for n in every for part in _prefixes(n)})
        near = nearest_few(name, known)
        raise InputError(
            arg("probe_layer", name),
            expected=f"'all', 'output', or a module or parameter of the model such as {', '.join(near)}",
            fix=arg("probe_layer", near[0]),
        )
    once: dict[int, str] = {}
    for parameter_name, parameter in inside.items():
        once.setdefault(id(parameter), parameter_name)
    return Layer(name, {n: every[n] for n in once.values()})


def attention_layer(model: torch.nn.Module) -> Layer:
    """The attention layer of the middle block, number depth // 2 counted from 0.

    For Pythia-410M (24 blocks) that is the paper's block 12 (section 4.1).

    Raises:
        InputError: for a network without blocks that hold an attention layer.
    """
    import torch

    blocks: tuple[str, list[str]] = ("", [])
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) > len(blocks[1]):
            found = [_attention_in(block) for block in module]
            if all(found):
                blocks = name, [f"{name}.{i}.{child}" for i, child in enumerate(found)]
    if not blocks[1]:
        raise InputError(
            "probe 'gradients': the model has no blocks with an attention layer",
            expected="a transformer, or the name of a layer",
            fix=arg("probe_layer", "output"),
        )
    return select_layer(model, blocks[1][len(blocks[1]) // 2])


def output_module(model: torch.nn.Module) -> torch.nn.Module:
    """The layer that writes the logits: the output embedding, or the last linear layer of a classifier."""
    import torch

    embedding = getattr(model, "get_output_embeddings", lambda: None)()
    if isinstance(embedding, torch.nn.Module):
        return embedding
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    if not linear:
        raise InputError(
            "the model has no output layer of its own",
            expected="a model with an output embedding or a linear layer at its end",
            fix=arg("probe_layer", "NAME") + " with one of the model's parameters",
        )
    return linear[-1]


def _attention_in(block: torch.nn.Module) -> str | None:
    for name, child in block.named_children():
        is_attention = "attn" in name or "attention" in name
        if is_attention and "norm" not in name and any(p.ndim == 2 for p in child.parameters()):
            return name
    return None


def _name_of(model: torch.nn.Module, wanted: torch.nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is wanted)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts) + 1)]
