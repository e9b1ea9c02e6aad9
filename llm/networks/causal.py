"""Whether a network predicts a token from the past alone: tried, because no configuration promises it."""

from __future__ import annotations

from typing import Any

from llm.data.quiet import quiet
from toymodel.base.errors import InputError
from toymodel.base.words import arg, one_line

__all__ = ["check_causal"]

_LENGTH = 8
# Logits of the same tokens differ by rounding (other products of other shapes, with experts); an open
# attention moves them by far more.
_ROUNDING = 1e-5


def check_causal(model: Any, name: str) -> None:
    """Change the second half of a text: the logits of the first half must not move.

    Training on the next token means nothing where a network sees it.

    Args:
        model: a language model with its weights, on the CPU.
        name: what messages call it.

    Raises:
        InputError: for a network that looks ahead, or does not run.
    """
    import torch

    rows, half = model.config.vocab_size, _LENGTH // 2
    one = torch.arange(1, 1 + _LENGTH) * 7 % rows
    other = torch.where(torch.arange(_LENGTH) < half, one, (one + 1 + rows // 2) % rows)
    trains = model.training
    model.eval()
    try:
        with torch.no_grad(), quiet():
            logits = model(input_ids=torch.stack([one, other]), use_cache=False).logits[:, :half].float()
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            arg("model", name) + f" does not run ({one_line(error, 160)})",
            expected="a network whose config.json fits together",
            fix="copy config.json again",
        ) from error
    first, second = logits
    model.train(trains)
    moved, scale = float((first - second).abs().max()), float(first.abs().max())
    if moved > _ROUNDING * scale:
        kind = model.config.model_type
        fix: str = "another " + arg("model")
        if not getattr(model.config, "is_decoder", True):
            fix = '"is_decoder": true in its config.json if it was trained as a decoder, else ' + fix
        raise InputError(
            arg("model", name)
            + f" ({kind}) is not causal: later tokens move logits of {scale:.2g} by {moved:.2g}",
            expected="a network that predicts each token from those before it",
            fix=fix,
        )
