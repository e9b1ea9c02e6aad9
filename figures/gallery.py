"""The figures that ``reawaken figures`` can draw: which module draws each, and what it needs."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from toymodel.errors import InputError

__all__ = ["FIGURES", "Entry", "choose", "render"]


@dataclass(frozen=True)
class Entry:
    """One figure.

    Attributes:
        module: the module whose ``draw`` makes it: ``draw() -> Figure``, or ``draw(runs: Path) -> Figure``
            where runs are needed.
        title: what it shows, in a line.
        needs_runs: whether it is drawn from run folders of networks.
    """

    module: str
    title: str
    needs_runs: bool = False


FIGURES: dict[str, Entry] = {
    "10": Entry("figures.fig10", "loss of task 1 in the toy model, f(w) = w and f(w) = y - w"),
    "11": Entry("figures.fig11", "solution vectors of the toy model becoming a ring"),
    "geometry": Entry("figures.geometry", "Figs. 8, 9, 17 and 18 for the toy model"),
    "theory": Entry("figures.theory", "every statement of docs/theory.md beside a simulation"),
}


def choose(names: Sequence[str], runs: Path | None = None) -> list[str]:
    """The figures meant by names as typed.

    Args:
        names: names in `FIGURES`; a number alone means all its panels' figures (``8`` is 8a, 8b, ...);
            ``all``, or nothing, means every figure that can be drawn with what is given.
        runs: folder of network runs, if there is one.

    Raises:
        InputError: for an unknown figure (with the nearest name), or one that needs runs when none are given.
    """
    chosen: list[str] = []
    for name in names or ["all"]:
        if name == "all":
            found = [key for key, entry in FIGURES.items() if runs is not None or not entry.needs_runs]
        elif name in FIGURES:
            found = [name]
        else:
            found = [key for key in FIGURES if key.rstrip("abcdefgh") == name]
        if not found:
            near = difflib.get_close_matches(name, FIGURES, n=1, cutoff=0.0)[0]
            raise InputError(f"there is no figure {name!r}", expected="all, or some of " + ", ".join(FIGURES),
                             fix=f"reawaken figures {near}")  # fmt: skip
        chosen += [key for key in found if key not in chosen]
    for key in chosen:
        if FIGURES[key].needs_runs and runs is None:
            raise InputError(f"figure {key} without runs", expected="a folder of network runs",
                             fix=f"reawaken figures {key} --runs DIR")  # fmt: skip
    return chosen


def render(name: str, runs: Path | None = None) -> Figure:
    """Draw one figure of `FIGURES`."""
    entry = FIGURES[name]
    draw = importlib.import_module(entry.module).draw
    figure: Figure = draw(runs) if entry.needs_runs else draw()
    return figure
