"""Names that ``--model`` and ``--documents`` take: their kind of task, their place on the hub."""

from __future__ import annotations

from pathlib import Path

from llm.config import RunConfig
from toymodel.base.words import arg

__all__ = [
    "CNN_DAILYMAIL",
    "EMBEDDED_CLASSIFIERS",
    "OWNERS",
    "PYTHIA",
    "SHAPES",
    "classifiers",
    "hub_id",
    "is_classifier",
    "other_task",
]

CNN_DAILYMAIL = ("abisee/cnn_dailymail", "3.0.0")

PYTHIA = "EleutherAI/"
"""Owner of the Pythia checkpoints on the hub."""

SHAPES: dict[str, tuple[int, int, int, int, int]] = {
    # hidden size, layers, heads, feed-forward size, vocabulary rows (Biderman et al. 2023, public configs)
    "embedded": (192, 6, 6, 768, 1024),
    "pythia-14m": (128, 6, 4, 512, 50304),
    "pythia-31m": (256, 6, 8, 1024, 50304),
    "pythia-70m": (512, 6, 8, 2048, 50304),
    "pythia-160m": (768, 12, 12, 3072, 50304),
    "pythia-410m": (1024, 24, 16, 4096, 50304),
    "pythia-1b": (2048, 16, 8, 8192, 50304),
    "pythia-1.4b": (2048, 24, 16, 8192, 50304),
    "pythia-2.8b": (2560, 32, 32, 10240, 50304),
    "pythia-6.9b": (4096, 32, 32, 16384, 50432),
    "pythia-12b": (5120, 36, 40, 20480, 50688),
}

OWNERS: dict[str, str] = {
    **dict.fromkeys(("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "openai-gpt"), "openai-community"),
    **dict.fromkeys(("opt-125m", "opt-350m", "opt-1.3b"), "facebook"),
    **dict.fromkeys(("gpt-neo-125m", "gpt-neo-1.3B", "gpt-j-6b", "gpt-neox-20b"), PYTHIA[:-1]),
    **dict.fromkeys(("SmolLM2-135M", "SmolLM2-360M", "SmolLM2-1.7B"), "HuggingFaceTB"),
    "distilgpt2": "distilbert",
}
"""Owners on the hub of models that are often asked for by their bare names."""

EMBEDDED_CLASSIFIERS = ("embedded-vit", "embedded-vgg")
"""Small classifiers for a laptop: ViT-B/32 and VGG-19 with everything scaled down but VGG's 19 layers."""


def hub_id(model: str) -> str | None:
    """Hub id of ``--model``: a Pythia size's, or owner/name as given; None for other models."""
    if model in SHAPES:
        return None if model == "embedded" else PYTHIA + model
    return model if model.count("/") == 1 and not Path(model).exists() else None


def other_task(config: RunConfig) -> str:
    """The setting that asks for the kind of task ``--model`` belongs to; empty where it is this, or none."""
    task = ""
    if config.model in SHAPES and config.model != "embedded":
        task = "language"
    elif config.model.startswith("imagegpt"):
        task = "image-modelling"
    else:
        task = "classification" if is_classifier(config.model) else ""
    return arg("task", task) if task not in ("", config.task) else ""


def classifiers() -> list[str]:
    """Every image classifier that torchvision has."""
    import torchvision.models

    return list(torchvision.models.list_models(module=torchvision.models))


def is_classifier(name: str) -> bool:
    """Whether it is one of them, as far as this machine can tell."""
    try:
        return name in EMBEDDED_CLASSIFIERS or name in classifiers()
    except (ImportError, RuntimeError, OSError, AttributeError):  # torchvision is missing, or of another pair
        return False
