"""Networks: every Pythia shape from random weights, and any causal language model the library loads."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from toymodel.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "PYTHIA",
    "SHAPES",
    "build_model",
    "check_heads",
    "freeze",
    "hub_id",
    "initialize",
    "load_weights",
    "read_config",
    "refuse_shape",
    "split_head",
    "weight_hash",
]

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

_SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")

# Architectures whose attention is plainly causal (no sliding window, no bias by position) and whose logits
# are the output layer of the last hidden state: there the mask and the whole logits are never built.
_PLAIN = ("gpt_neox", "gpt2", "llama")
_ATTENTION = "causal_sdpa"


def hub_id(model: str) -> str | None:
    """Hub id of ``--model``: a Pythia size's, or owner/name as given; None for other models."""
    if model in SHAPES:
        return None if model == "embedded" else PYTHIA + model
    return model if model.count("/") == 1 and not Path(model).exists() else None


def build_model(config: RunConfig, vocabulary: int) -> Any:
    """A causal language model in float32 on the CPU, frozen as configured.

    Args:
        config: what to build; every field of its first section, `context` and `seed` are used.
        vocabulary: rows that the tokenizer needs.

    Raises:
        InputError: for an unknown model, overrides that do not fit it, a context beyond its positions or a
            tokenizer beyond its embedding.
    """
    import torch
    from transformers import AutoModelForCausalLM

    architecture, source = read_architecture(config)
    if config.weights == "random" and config.vocabulary == "tokenizer":
        architecture.vocab_size = vocabulary
    _check_fit(config, architecture, vocabulary)
    plain = architecture.model_type in _PLAIN
    if plain:
        _register_attention()
    common = {
        # The library's default is the checkpoint's own, and Pythia's public configurations say float16.
        "dtype": torch.float32,
        "trust_remote_code": False,
        "attn_implementation": _ATTENTION if plain else None,
    }
    if config.weights == "pretrained":
        model = load_weights(AutoModelForCausalLM, source, config, common)
        if config.vocabulary == "tokenizer":
            model.resize_token_embeddings(vocabulary)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = AutoModelForCausalLM.from_config(architecture, **common)
            initialize(model, config.init)
    model.config.use_cache = False
    if source is not None and hub_id(config.model):
        model.config._commit_hash = source.name  # the cache's folders are called by their commit
    if architecture.model_type == "gpt_neox":
        from llm.neox import streamline

        streamline(model)
    freeze(model, config)
    return model


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
        from llm.hub import fetch_model

        folder = fetch_model(hub, config.revision, weights=config.weights == "pretrained")
    elif not (folder / "config.json").is_file():
        raise InputError(
            f"--model {name}",
            expected=f"a folder with config.json, a hub id (owner/name), or one of {', '.join(SHAPES)}",
            fix=other_task(config)
            or f"--model {difflib.get_close_matches(name, SHAPES, n=1, cutoff=0.0)[0]}",
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


def other_task(config: RunConfig) -> str:
    """The flag that asks for the kind of task ``--model`` belongs to; empty where it is this, or none."""
    task = ""
    if config.model in SHAPES and config.model != "embedded":
        task = "language"
    elif config.model.startswith("imagegpt"):
        task = "image-modelling"
    else:
        from llm.vision.zoo import known

        task = "classification" if known(config.model) else ""
    return f"--task {task}" if task not in ("", config.task) else ""


def read_config(folder: Path, name: str) -> Any:
    """The architecture that a checkpoint's ``config.json`` describes.

    Raises:
        InputError: for one that the installed library does not know.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
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


def _check_fit(config: RunConfig, architecture: Any, vocabulary: int) -> None:
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
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"--model {config.model} holds no model.safetensors",
            expected="weights as safetensors: pickles (.bin, .pt) are never loaded",
            fix="save it with save_pretrained on a machine that trusts the file",
        )
    try:
        model, report = kind.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **common)
    except Exception as error:  # damaged files raise safetensors', json's or torch's errors
        raise InputError(
            f"the weights of --model {config.model} cannot be loaded ({str(error).strip().splitlines()[0]})",
            expected="whole safetensors files that match config.json",
            fix="copy or download the checkpoint again",
        ) from error
    if report["missing_keys"]:
        raise InputError(
            f"the weights of --model {config.model} lack {', '.join(sorted(report['missing_keys'])[:3])}",
            expected="a checkpoint of the whole model",
            fix="--weights random, or another folder",
        )
    return model


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


def freeze(model: Any, config: RunConfig) -> None:
    """Fix the first B blocks (or the last, for a negative number) and the input embedding if asked."""
    count = config.freeze_blocks
    if count:
        found = blocks(model)
        for block in found[:count] if count > 0 else found[count:]:
            block.requires_grad_(False)
    if config.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise InputError("every parameter is frozen", expected="something to train",
                         fix="--freeze-blocks with a smaller number")  # fmt: skip


def blocks(model: Any) -> Any:
    """The transformer's blocks, first to last."""
    import torch

    count = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise InputError(f"no list of {count} blocks in a {type(model).__name__}", expected="a transformer",
                     fix="--freeze-blocks 0")  # fmt: skip


def split_head(model: Any) -> tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[Any], torch.Tensor]]:
    """The network as hidden states, shape ``(B, C, d)``, and logits from any rows of them.

    Leaves out logits nobody asks for: of padding, and of positions that predict nothing. Where logits are
    more than an output layer of hidden states the first part gives them and the second changes nothing.
    """
    if model.config.model_type == "gpt_neox":
        from llm.neox import hidden_states

        return lambda tokens: hidden_states(model.base_model, tokens), model.get_output_embeddings()
    if model.config.model_type in _PLAIN:
        body, head = model.base_model, model.get_output_embeddings()
        return lambda tokens: body(input_ids=tokens, use_cache=False).last_hidden_state, head
    # A copy, because the loss overwrites logits, which the rest of such a model may still need.
    return lambda tokens: model(input_ids=tokens, use_cache=False).logits, lambda logits: logits.clone()


def weight_hash(model: torch.nn.Module) -> str:
    """SHA-256 over names and bytes of all parameters, in name order."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


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


def _register_attention() -> None:
    """Scaled-dot-product attention that never builds a mask.

    Without one the library looks for packed sequences in every forward pass; documents are padded at the
    right only, where causal attention needs no mask, so the lookup is skipped by giving the function none.
    """
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(_ATTENTION, sdpa_attention_forward)
