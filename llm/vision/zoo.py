"""Classifiers of torchvision: shapes, weights, and small versions of ViT-B/32 and VGG-19."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.names import EMBEDDED_CLASSIFIERS, classifiers, other_task
from toymodel.base.errors import InputError
from toymodel.base.words import arg, args, either, first_line, in_flags, nearest_few

if TYPE_CHECKING:
    import torch

__all__ = ["Recipe", "read_state", "recipe"]

VITS: dict[str, tuple[int, int, int, int, int, int]] = {
    # patch, blocks, heads, width, feed-forward, side of the image (Dosovitskiy et al. 2021; torchvision)
    "embedded-vit": (8, 3, 4, 96, 384, 32),
    "vit_b_16": (16, 12, 12, 768, 3072, 224),
    "vit_b_32": (32, 12, 12, 768, 3072, 224),
    "vit_l_16": (16, 24, 16, 1024, 4096, 224),
    "vit_l_32": (32, 24, 16, 1024, 4096, 224),
    "vit_h_14": (14, 32, 16, 1280, 5120, 224),
}

# Of the embedded VGG: VGG-19's channels are divided by the first; width of its classifier; side of the image.
_VGG_CHANNELS, _VGG_HIDDEN, _VGG_SIDE = 8, 256, 32


@dataclass(frozen=True)
class Recipe:
    """How to get one of torchvision's classifiers.

    Attributes:
        build: the network with so many outputs, random weights from torch's generator.
        transform: an RGB image to the network's input, float32, shape ``(3, side, side)``.
        outputs: number of the network's own outputs; None where it has as many as are needed.
        labels: what its own outputs stand for; empty where unknown.
        load: the pretrained weights.
    """

    build: Callable[[int], torch.nn.Module]
    transform: Callable[[Any], torch.Tensor]
    outputs: int | None
    labels: tuple[str, ...]
    load: Callable[[], Mapping[str, torch.Tensor]]


def recipe(config: RunConfig) -> Recipe:
    """How to get the classifier that ``--model`` names.

    Raises:
        InputError: for an unknown name, a shape that it cannot take, or no weights of the wanted revision.
    """
    import torchvision.models

    name = "embedded-vit" if config.model == "embedded" else config.model
    if name in EMBEDDED_CLASSIFIERS:
        return _embedded(name, config)
    weights = _weights_entry(name, config)
    own = weights.transforms()
    transform = own
    if config.image_size is not None:
        ratio = own.resize_size[0] / own.crop_size[0]
        transform = weights.transforms(
            crop_size=config.image_size, resize_size=round(config.image_size * ratio)
        )
    build: Callable[[int], torch.nn.Module]
    if name in VITS:
        build = _vit(name, config, side=config.image_size or own.crop_size[0])
    else:
        _refuse_shape(config, name)

        def build(outputs: int) -> torch.nn.Module:
            # GoogLeNet and Inception would draw their weights by a slow rejection sampler unless told.
            slow = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
            return torchvision.models.get_model(name, weights=None, num_classes=outputs, **slow)

    labels = tuple(weights.meta["categories"])
    return Recipe(build, transform, len(labels), labels, lambda: _state(config, weights))


def _embedded(name: str, config: RunConfig) -> Recipe:
    from torchvision.transforms._presets import ImageClassification

    side = config.image_size or (VITS[name][-1] if name in VITS else _VGG_SIDE)
    if name == "embedded-vgg":
        _refuse_shape(config, name)
    build = _vit(name, config, side) if name in VITS else _vgg(side)

    def load() -> Mapping[str, torch.Tensor]:
        if config.weights_file is None:
            raise InputError(
                arg("weights", "pretrained") + " with " + arg("model", config.model),
                expected="a model that has weights",
                fix=arg("weights", "random") + ", or " + arg("weights_file", "FILE"),
            )
        return read_state(config.weights_file)

    transform = ImageClassification(crop_size=side, resize_size=round(side * 256 / 224))
    return Recipe(build, transform, None, (), load)


def _vit(name: str, config: RunConfig, side: int) -> Callable[[int], torch.nn.Module]:
    from llm.networks.architecture import check_heads, refuse_shape

    if config.weights == "pretrained" and name not in EMBEDDED_CLASSIFIERS:
        refuse_shape(
            config,
            "with pretrained weights",
            "the shape that the weights have",
            arg("weights", "random"),
        )
    patch, blocks, heads, width, feed_forward, _ = VITS[name]
    width, heads = config.width or width, config.heads or heads
    check_heads(width, heads)
    if side % patch:
        raise InputError(
            arg("image_size", side) + f" with patches of {patch} pixels",
            expected="whole patches",
            fix=arg("image_size", max(1, side // patch) * patch),
        )

    def build(outputs: int) -> torch.nn.Module:
        from torchvision.models import VisionTransformer

        return VisionTransformer(
            image_size=side, patch_size=patch, num_layers=config.depth or blocks, num_heads=heads,
            hidden_dim=width, mlp_dim=config.feed_forward or feed_forward, num_classes=outputs,
        )  # fmt: skip

    return build


def _vgg(side: int) -> Callable[[int], torch.nn.Module]:
    """VGG-19 with fewer channels. Its layers, order and names are torchvision's, and so is its state dict."""

    def build(outputs: int) -> torch.nn.Module:
        import torch
        from torchvision.models import VGG
        from torchvision.models.vgg import cfgs, make_layers

        layers = [c if isinstance(c, str) else c // _VGG_CHANNELS for c in cfgs["E"]]
        with torch.device("meta"):  # its own classifier has 100 million weights; it is replaced
            model = VGG(torch.nn.Sequential(), num_classes=outputs, init_weights=False)
        model.features = make_layers(layers)
        pooled = max(1, side // 32)
        model.avgpool = torch.nn.AdaptiveAvgPool2d((pooled, pooled))
        sizes = (512 // _VGG_CHANNELS * pooled**2, _VGG_HIDDEN, _VGG_HIDDEN, outputs)
        for index, (rows, columns) in zip((0, 3, 6), zip(sizes[:-1], sizes[1:], strict=True), strict=True):
            model.classifier[index] = torch.nn.Linear(rows, columns)
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, torch.nn.Linear):
                # VGG-19's 0.01 is for 4096 inputs; with fewer, signals of the same size need larger weights.
                torch.nn.init.normal_(module.weight, 0, 0.01 * (4096 / module.in_features) ** 0.5)
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.zeros_(module.get_parameter("bias"))
        return model

    return build


def _refuse_shape(config: RunConfig, name: str) -> None:
    from dataclasses import replace

    from llm.networks.architecture import refuse_shape

    shape_only = replace(config, image_size=None)
    refuse_shape(
        shape_only,
        "with " + arg("model", name),
        "a network whose shape can be set",
        arg("model", "vit_b_32"),
    )


def _weights_entry(name: str, config: RunConfig) -> Any:
    import torchvision.models

    revision = config.revision

    if name not in classifiers():
        near = nearest_few(name, [*EMBEDDED_CLASSIFIERS, *classifiers()])
        raise InputError(
            arg("model", name),
            expected=f"{', '.join(EMBEDDED_CLASSIFIERS)}, a classifier of torchvision such as "
            f"{', '.join(near)}, a hub id (owner/name), or a folder with config.json",
            fix=other_task(config) or arg("model", near[0]),
        )
    entries = torchvision.models.get_model_weights(name)
    if revision is None:
        return entries.DEFAULT
    if revision not in entries.__members__:
        raise InputError(
            arg("revision", revision) + " of " + arg("model", name),
            expected="one of " + ", ".join(w.name for w in entries),
            fix="leave " + arg("revision") + " out",
        )
    return entries[revision]


def _state(config: RunConfig, weights: Any) -> Mapping[str, torch.Tensor]:
    if config.weights_file is not None:
        return read_state(config.weights_file)
    try:
        # torch says where it downloads to on a line of its own, which progress=False leaves unfinished.
        with contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO()):
            state: Mapping[str, torch.Tensor] = weights.get_state_dict(
                progress=True, check_hash=True, weights_only=True, map_location="cpu"
            )
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename and not str(error.filename).startswith("http"):
            raise  # a disk's error, not the network's
        file = weights.url.rpartition("/")[2]
        what = args(task="classification", weights="pretrained", model=config.model)
        raise InputError(
            "the weights of "
            + arg("model", config.model)
            + " are not in the local cache and cannot be downloaded",
            expected="a network connection once: downloads go to TORCH_HOME",
            fix="on a machine with network: "
            + either(f"llm.prefetch.prefetch(RunConfig({what}))", "reawaken llm prefetch " + in_flags(what))
            + "; or "
            + arg("weights_file", file),
        ) from error
    return state


def read_state(path: str | os.PathLike[str]) -> Mapping[str, torch.Tensor]:
    """A state dict from a file; of a ``.pth`` only tensors are taken, and no code in it is run.

    Raises:
        InputError: for a file that is missing, damaged, or no state dict.
    """
    import pickle
    import zipfile

    import torch
    from safetensors import SafetensorError

    file = Path(path)
    if file.suffix not in (".safetensors", ".pth", ".pt") or not file.is_file():
        raise InputError(
            arg("weights_file", path),
            expected="an existing .safetensors or .pth file with a state dict",
            fix=arg("weights_file", "vgg19-dcbb9e9d.pth"),
        )
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
            raise ValueError("it holds more than named tensors")
    except (SafetensorError, OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise InputError(
            arg("weights_file", path) + f" cannot be used ({first_line(error)})",
            expected="a state dict: names and tensors, as torch.save(model.state_dict(), FILE) writes it",
            fix="copy the file again, or save it so",
        ) from error
    return state
