"""Networks: every Pythia shape from random weights, and any causal language model the library loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llm.config import RunConfig
from llm.data.quiet import quiet
from llm.names import hub_id
from llm.networks.architecture import check_fit, check_room, read_architecture
from llm.networks.causal import check_causal
from llm.networks.drawing import deviations, draw
from llm.networks.weights import initialize, load_weights
from toymodel.base.errors import InputError
from toymodel.base.words import arg, one_line

if TYPE_CHECKING:
    import torch

__all__ = ["build_model", "forward_form", "freeze", "split_head", "without_gradients"]


# Architectures whose attention is plainly causal (no sliding window, no bias by position) and whose logits
# are the output layer of the last hidden state: there the mask and the whole logits are never built.
_PLAIN = ("gpt_neox", "gpt2", "llama")
_ATTENTION = "causal_sdpa"


def build_model(config: RunConfig, vocabulary: int) -> Any:
    """A causal language model in float32 on the CPU, frozen as configured.

    Args:
        config: what to build; every field of its first section, `context` and `seed` are used.
        vocabulary: rows that the tokenizer needs.

    Raises:
        InputError: for an unknown model or one that is not causal, overrides that do not fit it, a context
            beyond its positions or a tokenizer beyond its embedding.
    """
    import torch
    from torch._guards import detect_fake_mode
    from transformers import AutoModelForCausalLM

    architecture, source = read_architecture(config)
    if config.weights == "random" and config.vocabulary == "tokenizer":
        architecture.vocab_size = vocabulary
    check_fit(config, architecture, vocabulary)
    laid_out = detect_fake_mode() is not None
    check_room(architecture, config.model, here=not laid_out)
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
        model = _drawn(AutoModelForCausalLM, architecture, config, common)
    model.config.use_cache = False
    if source is not None and hub_id(config.model):
        model.config._commit_hash = source.name  # the cache's folders are called by their commit
    if architecture.model_type == "gpt_neox":
        from llm.networks.fast.neox import streamline

        streamline(model)
    if source is not None and not laid_out:
        check_causal(model, config.model)
    freeze(model, config)
    return model


def _drawn(kind: Any, architecture: Any, config: RunConfig, common: dict[str, Any]) -> Any:
    """A model with random weights."""
    import torch

    if config.version >= 2:
        from transformers.initialization import no_init_weights

        # The library would draw weights of its own first, and take longer for it than for all the rest.
        with quiet(), no_init_weights():
            model = _construct(kind, architecture, config.model, common)
            model.tie_weights()
        if deviations(model, config.init) is not None:
            draw(model, config.init, config.seed)
            return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        with quiet():
            model = _construct(kind, architecture, config.model, common)
        initialize(model, config.init)
    return model


def _construct(kind: Any, architecture: Any, name: str, common: dict[str, Any]) -> Any:
    try:
        return kind.from_config(architecture, **common)
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError,
            RuntimeError) as error:  # fmt: skip
        words = one_line(error, 160)
        if "memory" in words.lower():  # said where it is known how much would do
            raise
        raise InputError(
            arg("model", name) + f": no network can be built as its config.json says ({words})",
            expected="settings that the architecture takes",
            fix="copy config.json again",
        ) from error


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
                         fix=arg("freeze_blocks") + " with a smaller number")  # fmt: skip


def blocks(model: Any) -> Any:
    """The transformer's blocks, first to last."""
    import torch

    count = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise InputError(f"no list of {count} blocks in a {type(model).__name__}", expected="a transformer",
                     fix=arg("freeze_blocks", 0))  # fmt: skip


def split_head(model: Any) -> tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[Any], torch.Tensor]]:
    """The network as hidden states, shape ``(B, C, d)``, and logits from any rows of them.

    Leaves out logits nobody asks for: of padding, and of positions that predict nothing. Where logits are
    more than an output layer of hidden states the first part gives them and the second changes nothing.
    """
    if model.config.model_type == "gpt_neox":
        from llm.networks.fast.neox import hidden_states

        return lambda tokens: hidden_states(model.base_model, tokens), model.get_output_embeddings()
    if model.config.model_type in _PLAIN:
        from llm.networks.fast.unwrapped import Unwrapped

        return Unwrapped(model.base_model), model.get_output_embeddings()
    # A copy, because the loss overwrites logits, which the rest of such a model may still need.
    return lambda tokens: model(input_ids=tokens, use_cache=False).logits, lambda logits: logits.clone()


def without_gradients(model: Any, config: RunConfig) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The first part of `split_head` without gradients, written out; None where it is not."""
    from llm.networks.fast.network import Networks, why_not
    from llm.networks.fast.updates import Gradients

    if why_not(config, model) is not None:
        return None
    networks = Networks(model, Gradients(exact=config.version < 2))
    networks.of(config.context)  # what it joins is joined before anything is recorded
    return lambda tokens: networks.of(tokens.shape[1]).hidden(tokens)


def forward_form(model: Any, config: RunConfig) -> str:
    """Which form of the network computes, for the manifest."""
    from llm.networks.fast.network import why_not

    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind in _PLAIN and why_not(config, model) is None:
        return f"{kind}, written out, {'joint products, ' if config.version > 1 else ''}no autograd"
    if kind == "gpt_neox":
        return "gpt_neox, attention and rotary table in a form of our own"
    if kind in _PLAIN:
        return f"{kind}, unwrapped, rotary table made once" if kind == "llama" else f"{kind}, unwrapped"
    return "as the library has it"


def _register_attention() -> None:
    """Scaled-dot-product attention that never builds a mask.

    Without one the library looks for packed sequences in every forward pass; documents are padded at the
    right only, where causal attention needs no mask, so the lookup is skipped by giving the function none.
    """
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(_ATTENTION, sdpa_attention_forward)
