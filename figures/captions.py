"""What a figure says of itself, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from figures.evidence.groups import Family

__all__ = ["Caption", "seeds_of"]


@dataclass(frozen=True)
class Caption:
    """What is drawn.

    Attributes:
        what: what the network's panels show, with every mark in them; a sentence or more.
        unit: of the losses, or of what is drawn.
        seeds: over how many runs, at each scale; empty for the toy alone.
        toy: what the toy's panel shows, or why there is none.
    """

    what: str
    unit: str
    seeds: str
    toy: str

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.unit, self.seeds, self.toy) if part)


def seeds_of(found: Sequence[Family]) -> str:
    """Numbers of runs per curve by kind of network, as a sentence."""
    told = []
    for one in found:
        counts = sorted({member.seeds for member in one.members})
        several = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        told.append(f"{several} seed{'s' * (counts[-1] > 1)} ({one.title})")
    return f"Mean over {', '.join(told)}."
