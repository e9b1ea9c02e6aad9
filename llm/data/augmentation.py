"""Random variations of a document between gradient steps (paper section 3.3, Fig. 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm.config import RunConfig

__all__ = ["IGNORED", "seed_dropout", "stored_length", "vary", "window"]

IGNORED = -100
"""Label of a position that does not count in the loss (the convention of torch's cross entropy)."""


def stored_length(config: RunConfig) -> int:
    """Tokens kept of each document, so that every window a step may ask for lies inside."""
    if config.window_shift == 0:
        return config.context
    return 2 * config.context if config.window == "program" else config.context + config.window_shift


def window(length: int, config: RunConfig, shift: int = 0) -> slice:
    """The C tokens that are seen of a document of `length` tokens; shift 0 is what is evaluated.

    The text's window starts at the document's start, the program's in the middle half of 2C tokens. A short
    document keeps at least two of its tokens in the window, or there would be nothing to predict.
    """
    first = config.context // 2 if config.window == "program" and config.window_shift else 0
    start = max(0, min(first + shift, length - 2))
    return slice(start, start + config.context)


def vary(
    tokens: NDArray[np.int64], length: int, config: RunConfig, episode: int, step: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Input and labels of one gradient step; the same for the same seed, episode and step.

    Args:
        tokens: one document, int64, shape ``(stored_length(config),)``, padded at the right.
        length: how many of them are the document's.
        config: `window_shift`, `window`, `mask_probability`, `mask_up_to`, `mask_token` and `seed` are used.
        episode: which episode.
        step: which gradient step of it.

    Returns:
        Input tokens and labels, int64, shape ``(C,)``; labels keep the tokens that the input hides.
    """
    rng = np.random.default_rng((config.seed, episode, step))
    shift = 0
    if config.window_shift:
        least = -config.window_shift if config.window == "program" else 0
        shift = int(rng.integers(least, config.window_shift + 1))
    seen = window(length, config, shift)
    chosen = tokens[seen].copy()
    real = np.arange(seen.start, seen.stop) < length
    labels = np.where(real, chosen, IGNORED)
    if config.mask_probability:
        part = config.mask_probability * (rng.random() if config.mask_up_to else 1.0)
        chosen[(rng.random(config.context) < part) & real] = config.mask_token
    return chosen, labels


def seed_dropout(seed: int, episode: int, step: int) -> None:
    """Seed what dropout drops in one gradient step, so that a resumed run drops the same."""
    import torch

    key = np.random.SeedSequence((seed, episode, step, 1))
    torch.manual_seed(int(key.generate_state(1, np.uint64)[0]) >> 1)
