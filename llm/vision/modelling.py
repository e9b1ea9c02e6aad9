"""Causal image modelling: ImageGPT predicts every pixel from those above and to the left (Fig. 7a).

To the tasks of documents an image is a text of ``side**2`` colours; only the words differ.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm.config import RunConfig
from llm.vision.images import choose_images, open_images
from llm.vision.palette import common_colours, encode, read_palette, scaled
from llm.vision.source import ImageSource
from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest

if TYPE_CHECKING:
    import torch

    from llm.data.documents import Documents
    from llm.tasks.language import LanguageAdapter

__all__ = ["SHAPES", "attend_in_one_piece", "build_imagegpt", "hub_name", "modelling_adapter"]

OWNER = "openai/"

SHAPES: dict[str, tuple[int, int, int, int, int]] = {
    # width, blocks, heads, colours, side of the image (Chen et al. 2020, public configs)
    "embedded": (128, 4, 4, 64, 16),
    "imagegpt-small": (512, 24, 8, 512, 32),
    "imagegpt-medium": (1024, 36, 8, 512, 32),
    "imagegpt-large": (1536, 48, 16, 512, 32),
}


def modelling_adapter(config: RunConfig, device: torch.device) -> LanguageAdapter:
    """Read the images, build the model, and put both on the device as tasks.

    The loss of an image is the library's: mean cross entropy, in nats, of every pixel but the first.
    """
    from llm.tasks.language import LanguageAdapter

    source = open_images(config)
    model, folder = build_imagegpt(config)
    images = tokenize(source, config, model, folder)
    # What the adapter reads of a configuration, with the length that the model has.
    as_text = dataclasses.replace(config, task="language", context=images.tokens.shape[1], image_size=None)
    return LanguageAdapter(as_text, model.to(device), images, device)


def tokenize(source: ImageSource, config: RunConfig, model: Any, folder: Path | None) -> Documents:
    """T images as tokens: int64, shape ``(T, side**2)``, scaled to the model's side."""
    from llm.data.documents import Documents

    side, colours = (
        side_of(model),
        model.config.vocab_size - 1,
    )  # the last row of the embedding starts a sample
    rows = choose_images(source, config, config.num_documents)
    pixels = [scaled(source.rgb(row), side) for row in rows]
    palette, origin = _palette(config, folder, colours), "the checkpoint's"
    if palette is None:
        palette = common_colours(np.concatenate(pixels), colours, config.seed)
        origin = f"{colours} colours by k-means over the images"
    tokens = np.array([encode(each, palette) for each in pixels])
    return Documents(
        names=tuple(source.name(row) for row in rows), stored=tokens, lengths=(side**2,) * len(rows),
        tokens=tokens, labels=tokens, summaries=None, summary_labels=None, vocabulary=colours,
        origin={"source": dict(source.origin), "rows": rows, "side": side, "palette": origin,
                "palette_sha256": hashlib.sha256(palette.tobytes()).hexdigest()},
    )  # fmt: skip


def build_imagegpt(config: RunConfig) -> tuple[Any, Path | None]:
    """ImageGPT in float32 on the CPU, and the folder of its checkpoint where there is one.

    Raises:
        InputError: for an unknown model, one of another architecture, or settings that do not fit it.
    """
    import torch
    from transformers import ImageGPTForCausalImageModeling

    from llm.networks.models import freeze
    from llm.networks.weights import initialize, load_weights

    architecture, folder = _architecture(config)
    if config.weights == "pretrained":
        common = {"dtype": torch.float32, "trust_remote_code": False}
        model = load_weights(ImageGPTForCausalImageModeling, folder, config, common)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = ImageGPTForCausalImageModeling(architecture)
            initialize(model, config.init)
    model.config.use_cache = False
    if abs(config.freeze_blocks) > architecture.num_hidden_layers:
        raise InputError(arg("freeze_blocks", config.freeze_blocks), expected="at most the model's "
                         f"{architecture.num_hidden_layers} blocks", fix=arg("freeze_blocks", 0))  # fmt: skip
    freeze(model, config)
    for block in model.transformer.h:
        attend_in_one_piece(block.attn)
    return model, folder


def attend_in_one_piece(attention: Any) -> None:
    """Replace the library's softmax(q k^T) v by torch's fused kernel, which never stores the T x T weights.

    They are most of the activations of 1024 pixels. The library's way also makes a tensor from a Python
    number on every call, which no CUDA graph can record. Equal to rounding.
    """
    if attention.scale_attn_by_inverse_layer_idx or attention.reorder_and_upcast_attn:
        return  # variants that no public checkpoint uses: they stay as the library has them

    def fused(query: Any, key: Any, value: Any, attention_mask: Any = None) -> tuple[Any, None]:
        import torch

        dropout = attention.attn_dropout.p if attention.training else 0.0
        scale = None if attention.scale_attn_weights else 1.0
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True, scale=scale
        ), None

    attention._attn = fused


def hub_name(config: RunConfig) -> str | None:
    """Hub id of the model; None for the embedded one and for folders."""
    name = config.model
    if name in SHAPES:
        return None if name == "embedded" else OWNER + name
    return name if name.count("/") == 1 and not Path(name).exists() else None


def side_of(model: Any) -> int:
    """Side of the square image that the model has positions for."""
    return round(model.config.n_positions**0.5)


def _architecture(config: RunConfig) -> tuple[Any, Path | None]:
    from transformers import ImageGPTConfig

    from llm.names import other_task
    from llm.networks.architecture import check_heads, read_config, refuse_shape

    given = {"n_embd": config.width, "n_layer": config.depth, "n_head": config.heads,
             "n_inner": config.feed_forward}  # fmt: skip
    values = {key: value for key, value in given.items() if value is not None}
    if config.image_size is not None:
        values["n_positions"] = config.image_size**2
    if values and config.weights == "pretrained":
        refuse_shape(
            config,
            "with pretrained weights",
            "the shape that the weights have",
            arg("weights", "random"),
        )
    name, folder = config.model, Path(config.model)
    if name in SHAPES and config.weights == "random":
        width, blocks, heads, colours, side = SHAPES[name]
        shape: dict[str, Any] = {
            "n_embd": width,
            "n_layer": blocks,
            "n_head": heads,
            "n_positions": side**2,
        } | values
        check_heads(shape["n_embd"], shape["n_head"])
        return ImageGPTConfig(vocab_size=colours + 1, **shape), None
    if hub := hub_name(config):
        from llm.data.hub import fetch_model

        folder = fetch_model(hub, config.revision, weights=config.weights == "pretrained")
    elif not (folder / "config.json").is_file():
        raise InputError(
            arg("model", name) + (" has no pretrained weights" if name == "embedded" else ""),
            expected=f"a folder with ImageGPT's config.json, a hub id (owner/name), or {', '.join(SHAPES)}",
            fix=other_task(config) or arg("model", nearest(name, list(SHAPES)[1:])),
        )
    architecture = read_config(folder, name)
    if architecture.model_type != "imagegpt":
        raise InputError(
            arg("model", name) + f" is a {architecture.model_type}",
            expected="an ImageGPT for " + arg("task", "image-modelling"),
            fix=arg("model", "imagegpt-small"),
        )
    check_heads(values.get("n_embd", architecture.n_embd), values.get("n_head", architecture.n_head))
    if values:
        architecture = ImageGPTConfig.from_dict(architecture.to_dict() | values)
    return architecture, folder


def _palette(config: RunConfig, folder: Path | None, colours: int) -> np.ndarray | None:
    palette = None if folder is None else read_palette(folder, colours)
    if palette is None and config.weights == "pretrained":
        raise InputError(
            arg("model", config.model) + " has no palette",
            expected="preprocessor_config.json with the clusters that the weights were trained on",
            fix="take it from the checkpoint's page",
        )
    return palette
