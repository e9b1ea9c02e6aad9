"""Image classifiers by name, from torchvision or the hub, and what turns an image into their input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from toymodel.base.errors import InputError
from toymodel.base.words import arg, first_line, one_line

if TYPE_CHECKING:
    import torch

__all__ = ["Classifier", "build_classifier", "logits", "on_hub", "targets"]


@dataclass(frozen=True)
class Classifier:
    """A network and how it is fed.

    Attributes:
        model: the network, float32 on the CPU.
        transform: an RGB image to its input, float32, shape ``(3, side, side)``.
        labels: what its outputs stand for; empty where unknown.
        outputs: their number.
        own: whether the output layer is the model's own, rather than one for the classes of the images.
    """

    model: Any
    transform: Callable[[Any], torch.Tensor]
    labels: tuple[str, ...]
    outputs: int
    own: bool


def build_classifier(config: RunConfig, classes: Sequence[str]) -> Classifier:
    """The network that ``--model`` names.

    Args:
        config: what to build.
        classes: of the images.

    Raises:
        InputError: for an unknown model, weights that cannot be had or do not fit, or torchvision missing.
    """
    from llm.vision.pair import check_pair

    if on_hub(config) or (Path(config.model) / "config.json").is_file():
        check_pair(arg("model", config.model), needed=False)
        return _from_hub(config, classes)
    check_pair(arg("model", config.model))
    return _from_torchvision(config, classes)


def on_hub(config: RunConfig) -> bool:
    """Whether ``--model`` is owner/name on the hub rather than a folder here."""
    return config.model.count("/") == 1 and not Path(config.model).exists()


def logits(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Logits of a batch, float32, shape ``(B, outputs)``, whatever the library wraps them in."""
    found = model(pixels)
    return getattr(found, "logits", found).float()


def targets(classes: Sequence[str], classifier: Classifier, config: RunConfig) -> tuple[list[int], str]:
    """Output that each class of the images is trained towards, and how it was found.

    By name where the model names its outputs, by number where classes are named so, by position where there
    are as many of both.

    Raises:
        InputError: where no class can be told from another that way.
    """
    known = {label: index for index, label in enumerate(classifier.labels)}
    if not classifier.own:
        return list(range(len(classes))), "an output layer for these classes"
    if all(name in known for name in classes):
        return [known[name] for name in classes], "by name"
    if len(classes) == classifier.outputs:
        return list(range(len(classes))), "by position"
    if all(name.isdigit() and int(name) < classifier.outputs for name in classes):
        return [int(name) for name in classes], "by number"
    raise InputError(
        f"{len(classes)} classes ({', '.join(classes[:3])}, ...) for {classifier.outputs} outputs of "
        + arg("model", config.model),
        expected="as many, or folders named by an output's number or label",
        fix=arg("classes", "images") + " gives the model a new output layer for them",
    )


def _from_torchvision(config: RunConfig, classes: Sequence[str]) -> Classifier:
    import torch

    from llm.vision.zoo import recipe

    found = recipe(config)
    fresh = found.outputs is None or (config.classes == "images" and config.weights == "random")
    outputs = len(classes) if fresh else found.outputs
    assert outputs is not None
    state = found.load() if config.weights == "pretrained" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = found.build(outputs)
    if state is not None:
        _put(model, state, config)
    if config.classes == "images" and not fresh:
        outputs, fresh = replace_output(model, len(classes), config), True
    return Classifier(model, found.transform, () if fresh else found.labels, outputs, not fresh)


def _put(model: torch.nn.Module, state: Any, config: RunConfig) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise InputError(
            "the weights do not fit " + arg("model", config.model) + f" ({(lines[1:] or lines)[0]})",
            expected="the state dict of this model",
            fix=arg("weights_file")
            + " with the weights of this model, or "
            + arg("model")
            + " with the one they are of",
        ) from error


def replace_output(model: torch.nn.Module, outputs: int, config: RunConfig) -> int:
    """Put a new output layer, drawn by the seed, in place of the last linear one; its number of outputs."""
    import torch

    from llm.networks.layers import output_module

    old = output_module(model)
    place = next(name for name, module in model.named_modules() if module is old)
    if not isinstance(old, torch.nn.Linear):
        raise InputError(
            arg("classes", "images") + " with " + arg("model", config.model),
            expected="a linear output layer",
            fix=arg("classes", "model"),
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        new = torch.nn.Linear(old.in_features, outputs, bias=old.bias is not None)
    parent, _, name = place.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
    return outputs


def _from_hub(config: RunConfig, classes: Sequence[str]) -> Classifier:
    """A classifier that transformers loads, those of timm on the hub among them."""
    import torch
    from transformers import AutoModelForImageClassification

    from llm.networks.architecture import read_config, refuse_shape
    from llm.networks.weights import load_weights

    refuse_shape(config, "with a model of the hub or a folder", "the shape in its config.json",
                 arg("model", "vit_b_32") + " (random weights)")  # fmt: skip
    if config.weights_file is not None:
        raise InputError(
            arg("weights_file") + " with a model of the hub or a folder",
            expected="a classifier of torchvision",
            fix="leave " + arg("weights_file") + " out: the folder has the weights",
        )
    folder = Path(config.model)
    if not folder.is_dir():
        from llm.data.hub import fetch_model

        folder = fetch_model(config.model, config.revision, weights=config.weights == "pretrained")
    common = {"dtype": torch.float32, "trust_remote_code": False}
    try:
        architecture = read_config(folder, config.model)
        if arguments := getattr(architecture, "model_args", None):  # timm's, which the library also gives
            arguments.pop("num_classes", None)
        transform = _processor(folder, config)
        if config.weights == "pretrained":
            model = load_weights(
                AutoModelForImageClassification, folder, config, common | {"config": architecture}
            )
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                model = AutoModelForImageClassification.from_config(architecture, **common)
    except ImportError as error:
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise InputError(arg("model", config.model) + f" needs a package that is missing ({reason.strip()})",
                         expected="timm, for its models", fix="pip install timm") from error  # fmt: skip
    except InputError:
        raise
    except ValueError as error:
        reason = first_line(error).partition(": <")[0]
        raise InputError(
            arg("model", config.model) + f" is no image classifier ({reason})",
            expected="a model for image classification",
            fix=arg("model", "vit_b_32"),
        ) from error
    outputs, own = int(model.config.num_labels), config.classes == "model"
    if not own:
        outputs = replace_output(model, len(classes), config)
    labels = tuple(str(model.config.id2label[index]) for index in range(outputs)) if own else ()
    return Classifier(model, transform, labels, outputs, own)


def _processor(folder: Path, config: RunConfig) -> Callable[[Any], torch.Tensor]:
    """The checkpoint's own way of preparing an image."""
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    except Exception as error:  # json's and the library's own, whatever a damaged file leads it to
        raise InputError(
            arg("model", config.model) + f": how its images are prepared cannot be read ({one_line(error)})",
            expected="preprocessor_config.json beside config.json",
            fix="take it from the checkpoint's page",
        ) from error

    def transform(image: Any) -> torch.Tensor:
        pixels: torch.Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels.float()

    return transform
