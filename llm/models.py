"""Networks: the embedded one, every Pythia shape from random weights, local checkpoints."""

from __future__ import annotations

import difflib
import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from toymodel.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["SHAPES", "build_model", "position_limit", "weight_hash"]

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
_ATTENTION = "causal_sdpa"


def build_model(config: RunConfig, vocabulary: int) -> Any:
    """A causal language model in float32, in training mode, on the CPU.

    Args:
        config: `model`, `weights`, `seed` and `context` are used.
        vocabulary: rows that the tokenizer needs.

    Raises:
        InputError: for an unknown model, a context beyond its positions or a tokenizer beyond its embedding.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    _register_attention()
    folder = Path(config.model)
    if config.model in SHAPES:
        if config.weights == "pretrained":
            raise InputError(
                f"--weights pretrained with --model {config.model}",
                expected="a local checkpoint folder for pretrained weights",
                fix="--weights random, or --model FOLDER with config.json and model.safetensors",
            )
        architecture = _neox_config(*SHAPES[config.model])
    elif (folder / "config.json").is_file():
        architecture = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    else:
        near = difflib.get_close_matches(config.model, SHAPES, n=1, cutoff=0.0)[0]
        raise InputError(
            f"--model {config.model}",
            expected="a folder with config.json, or one of " + ", ".join(SHAPES),
            fix=f"--model {near}",
        )
    limit = position_limit(architecture)
    if limit is not None and config.context > limit:
        raise InputError(
            f"--context {config.context}", expected=f"at most {limit}, the positions of {config.model}",
            fix=f"--context {limit}",
        )  # fmt: skip
    if vocabulary > architecture.vocab_size:
        raise InputError(
            f"a tokenizer of {vocabulary} tokens for an embedding of {architecture.vocab_size} rows",
            expected="a tokenizer that fits the model",
            fix="put the model's own tokenizer.json into its folder",
        )
    if config.weights == "pretrained":
        # The checkpoint's own dtype is the library's default, and public configs of this family say float16.
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True,
            attn_implementation=_ATTENTION,
        )  # fmt: skip
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = AutoModelForCausalLM.from_config(
                architecture, dtype=torch.float32, trust_remote_code=False, attn_implementation=_ATTENTION
            )
            if architecture.model_type == "gpt_neox":
                _pythia_init(model)
    model.config.use_cache = False
    return model.train()


def position_limit(architecture: Any) -> int | None:
    """Positions the architecture was made for; None where the configuration does not say."""
    return getattr(architecture, "max_position_embeddings", None)


def weight_hash(model: torch.nn.Module) -> str:
    """SHA-256 over names and bytes of all parameters, in name order."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _neox_config(hidden: int, layers: int, heads: int, feed_forward: int, vocabulary: int) -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=feed_forward,
        vocab_size=vocabulary,
        max_position_embeddings=2048,
        rotary_pct=0.25,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        use_parallel_residual=True,
        tie_word_embeddings=False,
        attention_dropout=0.0,
        hidden_dropout=0.0,
    )


def _pythia_init(model: torch.nn.Module) -> None:
    """Pythia's scheme: small init (std sqrt(2/5d)) everywhere, 2/(L sqrt d) where a block writes its output."""
    import torch

    hidden, layers = model.config.hidden_size, model.config.num_hidden_layers
    small, output = math.sqrt(2 / (5 * hidden)), 2 / (layers * math.sqrt(hidden))
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            torch.nn.init.constant_(parameter, float("norm" in name and name.endswith("weight")))
        else:
            writes = name.endswith(("attention.dense.weight", "dense_4h_to_h.weight"))
            torch.nn.init.normal_(parameter, 0.0, output if writes else small)


def _register_attention() -> None:
    """Scaled-dot-product attention that never builds a mask.

    Without one the library looks for packed sequences in every forward pass; documents are padded at the
    right only, where causal attention needs no mask, so the lookup is skipped by giving the function none.
    """
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(_ATTENTION, sdpa_attention_forward)
