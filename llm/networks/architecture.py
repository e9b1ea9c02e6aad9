"""Architectures: every Pythia shape, and any causal language model the library knows, with its overrides."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from llm.config import RunConfig
from llm.data.gguf import is_gguf, library_arguments, loading_gguf, quantization
from llm.data.quiet import quiet
from llm.names import OWNERS, SHAPES, hub_id, other_task
from toymodel.base.errors import InputError
from toymodel.base.memory import refuse_if_too_large
from toymodel.base.words import arg, nearest, one_line

__all__ = ["check_fit", "check_heads", "check_room", "read_architecture", "read_config", "refuse_shape"]

_LARGEST = 1 << 47  # bytes: more than the weights of any network there is
_SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def read_architecture(config: RunConfig) -> tuple[Any, Path | None]:
    """The architecture with its overrides, and the folder of its checkpoint where there is one."""
    name, folder = config.model, Path(config.model)
    given = zip(_SHAPE, (config.width, config.depth, config.heads, config.feed_forward), strict=True)
    overrides = {key: value for key, value in given if value is not None}
    if overrides and config.weights == "pretrained":
        refuse_shape(
            config,
            "with pretrained weights",
            "the shape that the weights have",
            arg("weights", "random"),
        )
    if name in SHAPES and config.weights == "random":
        *shape, rows = SHAPES[name]
        wanted = dict(zip(_SHAPE, shape, strict=True)) | overrides
        check_heads(wanted["hidden_size"], wanted["num_attention_heads"])
        return _neox_config(wanted, rows), None
    if name == "embedded":
        raise InputError(
            arg("weights", "pretrained") + " with " + arg("model", "embedded"),
            expected="a model that has weights",
            fix=arg("weights", "random") + ", or " + arg("model", "pythia-14m"),
        )
    if hub := hub_id(name):
        from llm.data.hub import fetch_model

        folder = fetch_model(hub, config.revision, weights=config.weights == "pretrained")
    elif not (is_gguf(folder) or (folder / "config.json").is_file()):
        raise _unknown(config, folder)
    try:
        architecture = read_config(folder, name)
    except ImportError as error:
        needs = one_line(error, 160)
        raise InputError(
            arg("model", name) + f" needs a package that is not here ({needs})",
            expected="a causal language model",
            fix="another " + arg("model"),
        ) from error
    _check_kind(architecture, name)
    return _override(config, architecture, overrides), folder


def _override(config: RunConfig, architecture: Any, overrides: dict[str, int]) -> Any:
    """The architecture in another shape.

    Raises:
        InputError: for a number of heads that does not divide the width, or an architecture that has not what
            is to be changed.
    """
    for key, name in zip(_SHAPE, ("width", "depth", "heads", "feed_forward"), strict=True):
        if key in overrides and not hasattr(architecture, key):
            kind = f"a setting that a {architecture.model_type} has: it lacks {key}"
            raise InputError(
                arg(name) + f" of {config.model}", expected=kind, fix="leave " + arg(name) + " out"
            )
    # Not every architecture attends (those of the Mamba kind have a state), or has one width for all heads.
    width = overrides.get("hidden_size", architecture.hidden_size)
    heads = overrides.get("num_attention_heads", getattr(architecture, "num_attention_heads", None))
    if isinstance(heads, int) and getattr(architecture, "head_dim", None) in (None, width // heads):
        check_heads(width, heads)
    if not overrides:
        return architecture
    values = architecture.to_dict()
    own = getattr(architecture, "attribute_map", {})
    values |= {own.get(key, key): value for key, value in overrides.items()}
    if architecture.model_type == "llama" and "num_attention_heads" in overrides:
        values["num_key_value_heads"] = overrides["num_attention_heads"]
    return type(architecture).from_dict(values)


def _unknown(config: RunConfig, path: Path) -> InputError:
    """What is said of a ``--model`` that is neither known, nor a folder, nor a hub id."""
    expected = f"a folder with config.json, a .gguf file, a hub id (owner/name), {', '.join(SHAPES)}"
    name = config.model
    if path.is_dir():
        return InputError(arg("model", name) + " is a folder without config.json", expected=expected,
                          fix="the folder that save_pretrained wrote, or a .gguf file in it")  # fmt: skip
    if path.is_file():
        return InputError(
            arg("model", name) + " is a file that is no .gguf",
            expected=expected,
            fix=arg("model", path.parent) + ", its folder, if config.json is there",
        )
    fix = other_task(config)
    if not fix and name in OWNERS:
        fix = arg("model", f"{OWNERS[name]}/{name}")
    elif not fix and path.suffix != ".gguf" and difflib.get_close_matches(name, SHAPES, n=1):
        fix = arg("model", nearest(name, SHAPES))
    return InputError(arg("model", name), expected=expected,
                      fix=fix or "check the path, or write OWNER/NAME as on the model's page")  # fmt: skip


def read_config(folder: Path, name: str) -> Any:
    """The architecture that a checkpoint's ``config.json`` describes.

    Raises:
        InputError: for one that the installed library does not know, or sizes that no network has.
        ImportError: for one that needs a package which is not installed.
    """
    from transformers import AutoConfig

    where, more = library_arguments(folder)
    if more:
        quantization(folder)
    try:
        with quiet():
            architecture = AutoConfig.from_pretrained(where, trust_remote_code=False, **more)
    except ImportError:  # of a package that the architecture needs; said by who knows which
        raise
    except Exception as error:  # strict fields, json, and too deep nesting each have their own
        if more:
            raise loading_gguf(folder, error) from error
        words = one_line(error)
        fix = "copy config.json again"
        if "recogni" in words.lower():  # "does not recognize", "unrecognized"
            fix = "pip install --upgrade transformers, or another " + arg("model")
        raise InputError(
            arg("model", name) + f": its config.json cannot be used ({words[:160]})",
            expected="an architecture of the installed transformers; a folder's own code is never run",
            fix=fix,
        ) from error
    for key in (*_SHAPE, "num_key_value_heads", "head_dim", "vocab_size"):
        value = getattr(architecture, key, None)
        several = value if isinstance(value, list) else [value]
        if any(one is not None and (type(one) is not int or one < 1) for one in several):
            raise InputError(arg("model", name) + f": its config.json says {key} {value!r}",
                             expected="a whole number, 1 or more", fix="copy config.json again")  # fmt: skip
    return architecture


def _check_kind(architecture: Any, name: str) -> None:
    """Refuse what is no causal language model by its architecture."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    kind, problem = architecture.model_type, ""
    lacking = [
        key for key in ("hidden_size", "num_hidden_layers", "vocab_size") if not hasattr(architecture, key)
    ]
    if type(architecture) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        double = getattr(architecture, "is_encoder_decoder", False)
        problem = f"is {'an encoder-decoder' if double else 'no language model'} ({kind})"
    elif lacking:
        problem = f"({kind}) is made of several networks: its config.json has no {lacking[0]}"
    if problem:
        raise InputError(
            arg("model", name) + f" {problem}",
            expected="a causal (decoder-only) language model",
            fix="another " + arg("model") + ", e.g. a GPT, Llama or Mamba",
        )


def refuse_shape(config: RunConfig, problem: str, expected: str, instead: str) -> None:
    """Refuse the first of the settings of width, depth, heads and feed-forward size that is given."""
    for name in ("width", "depth", "heads", "feed_forward", "image_size"):
        if getattr(config, name) is not None:
            fix = instead + ", or leave " + arg(name) + " out"
            raise InputError(arg(name) + " " + problem, expected=expected, fix=fix)


def check_fit(config: RunConfig, architecture: Any, vocabulary: int) -> None:
    """Refuse settings that the architecture has no room for: positions, tokens, blocks."""
    limit = getattr(architecture, "max_position_embeddings", None)
    if limit is not None and 0 < limit < config.context:  # -1 says that there is none
        raise InputError(arg("context", config.context), expected=f"at most {limit}, the positions of "
                         f"{config.model}", fix=arg("context", limit))  # fmt: skip
    rows = architecture.vocab_size
    if vocabulary > rows and config.vocabulary == "model":
        raise InputError(
            f"a tokenizer of {vocabulary} tokens for an embedding of {rows} rows",
            expected="a tokenizer that fits the model",
            fix=arg("tokenizer") + " with the model's own, or " + arg("vocabulary", "tokenizer"),
        )
    if config.mask_probability and config.mask_token >= rows:
        raise InputError(arg("mask_token", config.mask_token), expected=f"a token below {rows}",
                         fix=arg("mask_token", 0))  # fmt: skip
    blocks = architecture.num_hidden_layers
    if abs(config.freeze_blocks) > blocks:
        raise InputError(arg("freeze_blocks", config.freeze_blocks), expected=f"at most the model's {blocks} "
                         "blocks", fix=arg("freeze_blocks", blocks))  # fmt: skip


def check_room(architecture: Any, name: str, *, here: bool) -> None:
    """Refuse a shape whose weights cannot fit, before memory is asked for.

    Args:
        architecture: what is to be built, counted from below: the embedding, and in each block a square
            matrix, one to the feed-forward layer and one to the heads.
        name: of the model.
        here: whether it is to be built in this machine's memory, or only laid out.
    """
    width, blocks = architecture.hidden_size, architecture.num_hidden_layers
    inner = getattr(architecture, "intermediate_size", None)
    heads = (getattr(architecture, "num_attention_heads", 0), getattr(architecture, "head_dim", 0))
    sides = [width, inner, heads[0] * heads[1] if all(type(one) is int for one in heads) else 0]
    across = sum(side for side in sides if type(side) is int)
    least = 4 * width * (architecture.vocab_size + blocks * across)
    refuse_if_too_large(
        least,
        arg("model", name) + f" (width {width}, {blocks} blocks, {architecture.vocab_size} rows)",
        "a smaller " + arg("model") + ", " + arg("width") + " or " + arg("depth"),
        None if here else _LARGEST,
    )


def check_heads(width: int, heads: int) -> None:
    """Refuse a number of heads that does not divide the width."""
    if width % heads:
        fits = max(h for h in range(1, heads + 1) if width % h == 0)
        raise InputError(
            arg("heads", heads) + f" at width {width}",
            expected="a number that divides the width",
            fix=arg("heads", fits),
        )


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
