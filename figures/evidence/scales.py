"""At which scale a run was made: networks of some 10^5 weights, Pythia's own sizes, or trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from llm.config import RunConfig
from llm.names import SHAPES

__all__ = ["SCALES", "TITLES", "Scale", "scale_of"]

Scale = Literal["small", "pythia", "pretrained", "other"]

SCALES: tuple[Scale, ...] = ("small", "pythia", "pretrained")
"""Those that claims are judged at; ``other`` are random weights in a shape that is neither."""

TITLES: Mapping[Scale, str] = {
    "small": "small networks",
    "pythia": "Pythia's sizes, random weights",
    "pretrained": "pretrained",
    "other": "random weights",
}

# Width of the smallest Pythia. Rehearsals name a Pythia size and make it narrower than that.
_NARROWEST = 128


def scale_of(config: RunConfig) -> Scale:
    """The scale of a run, from its settings alone."""
    if config.weights == "pretrained":
        return "pretrained"
    if config.model.startswith("embedded"):
        return "small"
    if config.model in SHAPES:
        width = config.width or SHAPES[config.model][0]
        return "pythia" if width >= _NARROWEST else "small"
    return "other"
