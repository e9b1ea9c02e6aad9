"""Architectures: every Pythia shape, and any causal language model the library knows, with its overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.data.gguf import is_gguf, library_arguments, loading_gguf, quantization
from llm.names import SHAPES, hub_id, other_task
from toymodel.base.errors import InputError
from toymodel.base.words import nearest

__all__ = ["check_fit", "check_heads", "read_architecture", "read_config", "refuse_shape"]

_SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def read_architecture(config: RunConfig) -> tuple[Any, Path | None]:
    """The architecture with its overrides, and the folder of its checkpoint where there is one."""
    name, folder = config.model, Path(config.model)
    given = zip(_SHAPE, (config.width, config.depth, config.heads, config.feed_forward), strict=True)
    overrides = {key: value for key, value in given if value is not None}
    if overrides and config.weights == "pretrained":
        refuse_shape(config, "with pretrained weights", "the shape that the weights have", "--weights random")
    if name in SHAPES and config.weights == "random":
        *shape, rows = SHAPES[name]
        wanted = dict(zip(_SHAPE, shape, strict=True)) | overrides
        check_heads(wanted["hidden_size"], wanted["num_attention_heads"])
        return _neox_config(wanted, rows), None
    if name == "embedded":
        raise InputError("--weights pretrained with --model embedded", expected="a model that has weights",
                         fix="--weights random, or --model pythia-14m")  # fmt: skip
    if hub := hub_id(name):
        from llm.data.hub import fetch_model

        folder = fetch_model(hub, config.revision, weights=config.weights == "pretrained")
    elif not (is_gguf(folder) or (folder / "config.json").is_file()):
        raise InputError(
            f"--model {name}",
            expected=f"a folder with config.json, a hub id (owner/name), or one of {', '.join(SHAPES)}",
            fix=other_task(config) or f"--model {nearest(name, SHAPES)}",
        )
    architecture = read_config(folder, name)
    check_heads(overrides.get("hidden_size", architecture.hidden_size),
                 overrides.get("num_attention_heads", architecture.num_attention_heads))  # fmt: skip
    if overrides:
        values = architecture.to_dict() | overrides
        if architecture.model_type == "llama" and "num_attention_heads" in overrides:
            values["num_key_value_heads"] = overrides["num_attention_heads"]
        architecture = type(architecture).from_dict(values)
    return architecture, folder


def read_config(folder: Path, name: str) -> Any:
    """The architecture that a checkpoint's ``config.json`` describes.

    Raises:
        InputError: for one that the installed library does not know.
    """
    from transformers import AutoConfig

    where, more = library_arguments(folder)
    if more:
        quantization(folder)
    try:
        return AutoConfig.from_pretrained(where, trust_remote_code=False, **more)
    except Exception as error:
        if more:
            raise loading_gguf(folder, error) from error
        line = str(error).strip().splitlines()[0]
        raise InputError(
            f"--model {name}: its config.json cannot be used ({line})",
            expected="an architecture of the installed transformers; a folder's own code is never run",
            fix="pip install --upgrade transformers, or another --model",
        ) from error


def refuse_shape(config: RunConfig, problem: str, expected: str, instead: str) -> None:
    """Refuse the first of the settings of width, depth, heads and feed-forward size that is given."""
    for name in ("width", "depth", "heads", "feed_forward", "image_size"):
        if getattr(config, name) is not None:
            flag = "--" + name.replace("_", "-")
            fix = f"{instead}, or leave {flag} out"
            raise InputError(f"{flag} {problem}", expected=expected, fix=fix)


def check_fit(config: RunConfig, architecture: Any, vocabulary: int) -> None:
    """Refuse settings that the architecture has no room for: positions, tokens, blocks."""
    limit = getattr(architecture, "max_position_embeddings", None)
    if limit is not None and config.context > limit:
        raise InputError(f"--context {config.context}", expected=f"at most {limit}, the positions of "
                         f"{config.model}", fix=f"--context {limit}")  # fmt: skip
    rows = architecture.vocab_size
    if vocabulary > rows and config.vocabulary == "model":
        raise InputError(
            f"a tokenizer of {vocabulary} tokens for an embedding of {rows} rows",
            expected="a tokenizer that fits the model",
            fix="--tokenizer with the model's own, or --vocabulary tokenizer",
        )
    if config.mask_probability and config.mask_token >= rows:
        raise InputError(f"--mask-token {config.mask_token}", expected=f"a token below {rows}",
                         fix="--mask-token 0")  # fmt: skip
    blocks = architecture.num_hidden_layers
    if abs(config.freeze_blocks) > blocks:
        raise InputError(f"--freeze-blocks {config.freeze_blocks}", expected=f"at most the model's {blocks} "
                         "blocks", fix=f"--freeze-blocks {blocks}")  # fmt: skip


def check_heads(width: int, heads: int) -> None:
    """Refuse a number of heads that does not divide the width."""
    if width % heads:
        fits = max(h for h in range(1, heads + 1) if width % h == 0)
        raise InputError(f"--heads {heads} at width {width}", expected="a number that divides the width",
                         fix=f"--heads {fits}")  # fmt: skip


def _neox_config(shape: dict[str, Any], vocabulary: int) -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        **shape,
        vocab_size=vocabulary,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        use_parallel_residual=True,
        tie_word_embeddings=False,
        attention_dropout=0.0,
        hidden_dropout=0.0,
    )
