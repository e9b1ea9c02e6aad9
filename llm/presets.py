"""Named configurations; each is data for the one training loop."""

from __future__ import annotations

import difflib

from llm.config import RunConfig
from toymodel.errors import InputError

__all__ = ["PRESETS", "preset"]

PRESETS: dict[str, tuple[str, RunConfig]] = {
    "embedded": (
        "a small random GPT-NeoX on the Python manual, Adam reset per episode: the phenomenon on a laptop",
        RunConfig(context=32, optimizer="adam", lr=3e-4),
    ),
    "embedded-sgd": (
        "the same network with plain gradient descent",
        RunConfig(context=32, optimizer="sgd", lr=0.03),
    ),
}


def preset(name: str) -> RunConfig:
    """The configuration of that name.

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"there is no preset {name!r}", expected="one of " + ", ".join(PRESETS), fix=f"--preset {near}"
        )
    return PRESETS[name][1]
