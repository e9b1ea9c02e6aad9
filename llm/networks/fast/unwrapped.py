"""Llama and GPT-2 without what the library does around their modules: the same numbers, bit for bit.

Modules are called as the library calls them, so their hooks stay; masks, caches, records of every layer and,
at every step, the table of rotations are left out. Positions always count from 0 here.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["Unwrapped"]


class Unwrapped:
    """The network below the output layer as a function of tokens.

    Args:
        base: of a Llama or a GPT-2.
    """

    def __init__(self, base: Any) -> None:
        self._base = base
        self._tables: dict[tuple[int, torch.device], Any] = {}
        self._run = self._llama if base.config.model_type == "llama" else self._gpt2

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the output layer reads, shape ``(B, C, d)``, of tokens, int64, shape ``(B, C)``."""
        return self._run(tokens)

    def _llama(self, tokens: torch.Tensor) -> torch.Tensor:
        base = self._base
        hidden = base.embed_tokens(tokens)
        positions, table = self._table(hidden)
        for layer in base.layers:
            hidden = _only(
                layer(hidden, attention_mask=None, position_ids=positions, position_embeddings=table)
            )
        found: torch.Tensor = base.norm(hidden)
        return found

    def _gpt2(self, tokens: torch.Tensor) -> torch.Tensor:
        base = self._base
        positions, _ = self._table(tokens)
        hidden = base.drop(base.wte(tokens) + base.wpe(positions))
        for block in base.h:
            hidden = _only(block(hidden))
        found: torch.Tensor = base.ln_f(hidden)
        return found

    def _table(self, like: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Positions and, where they are rotated, cosines and sines: made once for every length."""
        key = like.shape[1], like.device
        if key not in self._tables:
            with torch.inference_mode(False), torch.no_grad():
                positions = torch.arange(key[0], device=like.device)[None]
                rotary = getattr(self._base, "rotary_emb", None)
                full = torch.zeros((), device=like.device)
                self._tables[key] = positions, None if rotary is None else rotary(full, positions)
        return self._tables[key]


def _only(output: Any) -> torch.Tensor:
    # Earlier versions of the library return tuples.
    found: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return found
