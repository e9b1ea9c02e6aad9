"""Matrices that probes find, mean over seeds, beside the toy's (Figs. 8 and 18)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.evidence.counterparts import ToySetting
from figures.evidence.reproduce import sweep_command
from figures.evidence.runs import Member, Runs
from figures.panels.curves import MissingRuns, find
from figures.style import figure_style, letter, new_figure
from llm.config import RunConfig
from llm.presets import FORMS
from llm.runs.finished import Run
from toymodel import compressed_run, cyclic_order, random_gram, shares

__all__ = ["Matrix", "ToyState", "member_of", "toy_state"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ToyState:
    """A toy run in solution coordinates, everything of variance 1 and independent to begin with.

    Attributes:
        q: shape ``(1 + E*T, T, T + 1)``.
        w: shape ``(1 + E*T, T + 1)``.
        gram: G, shape ``(T, T)``.
        slow: A by task, shape ``(T,)``.
        fast: B, likewise.
        order: shape ``(E, T)``.
    """

    q: Floats
    w: Floats
    gram: Floats
    slow: Floats
    fast: Floats
    order: NDArray[np.int64]

    @property
    def moments(self) -> Floats:
        """S at the end."""
        u = np.vstack([self.q[-1], self.w[-1]])
        return np.asarray(u @ u.T)


def toy_state(config: RunConfig) -> ToyState:
    """The toy's run of as many tasks and epochs, with the default shares of `ToySetting`."""
    setting = ToySetting()
    T, order = config.num_documents, cyclic_order(config.num_documents, config.epochs)
    gram = random_gram(T, setting.dimension) / (setting.dimension / 3)
    slow, fast = shares(setting.slow * np.diag(gram), setting.fast, setting.steps)
    q, w = compressed_run(np.eye(T + 1), gram, slow, fast, order)
    return ToyState(q, w, gram, slow, fast, order)


def member_of(runs: Runs, figure: str, family: str, label: str, forms: Sequence[str] = FORMS) -> Member:
    """The runs of one member of a family.

    Raises:
        MissingRuns: with the command that makes them.
    """
    found = find(runs, figure, family, forms)
    for member in found.members:
        if member.preset.label == label:
            return member
    raise MissingRuns(f"figure {figure}: no run of preset {family}-{label}{found.form}",
                      expected="its run folder, with its probes", fix=sweep_command(found.name))  # fmt: skip


@dataclass(frozen=True)
class Matrix:
    """A figure of one matrix.

    Attributes:
        figure: the paper's figure.
        family: of presets.
        title: what is seen.
        read: the matrix of a run.
        toy: the toy's, from its run.
        axes_labels: of x and y.
        bar: label of the colour bar.
        words: what the matrix is, for the caption.
        limits: of the colours: ``off-diagonal``, symmetric and fitting what lies off the diagonal; ``whole``,
            symmetric and fitting all; ``one-sided``, from the 2nd percentile to the largest.
        label: which member of the family; the only one if empty.
        first: number of the first row and column.
    """

    figure: str
    family: str
    title: str
    read: Callable[[Run], Floats]
    toy: Callable[[ToyState], Floats]
    axes_labels: tuple[str, str]
    bar: str
    words: str
    limits: str = "off-diagonal"
    label: str = ""
    first: Callable[[RunConfig], int] = lambda config: 1

    @property
    def families(self) -> tuple[str, ...]:
        """Families of presets that the figure shows."""
        return (self.family,)

    @property
    def member(self) -> str:
        """Label of the member of the family."""
        return self.label or self.family

    def values(self, runs: Runs) -> tuple[Floats, Floats, Member]:
        """Mean over seeds, the toy's, and whose.

        Raises:
            MissingRuns: when there is no run.
        """
        member = member_of(runs, self.figure, self.family, self.member)
        mean = np.mean([self.read(run) for run in member.runs], axis=0)
        return mean, self.toy(toy_state(member.config)), member

    def draw(self, runs: Runs) -> Figure:
        """Network left, toy right.

        Raises:
            MissingRuns: when there is no run.
        """
        mean, toy, member = self.values(runs)
        first = self.first(member.config)
        with figure_style():
            figure = new_figure(7.2, 3.2)
            left, right = figure.subplots(1, 2)
            self._map(left, mean, first)
            letter(left, self.figure, self.title)
            self._map(right, toy, first)
            right.set_title("toy")
        return figure

    def caption(self, runs: Runs) -> str:
        """What is drawn, in words."""
        member = member_of(runs, self.figure, self.family, self.member)
        seeds = f"Mean over {len(member.runs)} seed(s)."
        return f"{self.words} {seeds} Right: the same of the toy with as many tasks."

    def _map(self, axes: Axes, values: Floats, first: int) -> None:
        low, high = _limits(values, self.limits)
        rows, columns = values.shape
        extent = (first - 0.5, first + columns - 0.5, first + rows - 0.5, first - 0.5)
        image = axes.imshow(values, vmin=low, vmax=high, interpolation="nearest", extent=extent)
        axes.figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02, label=self.bar)
        axes.set(xlabel=self.axes_labels[0], ylabel=self.axes_labels[1])


def _limits(values: Floats, rule: str) -> tuple[float, float]:
    if rule == "one-sided":
        return float(np.nanquantile(values, 0.02)), float(np.nanmax(values))
    if rule == "whole":
        reach = float(np.nanmax(np.abs(values)))
    else:  # one document's own gain is of another size
        reach = float(np.nanquantile(np.abs(values[~np.eye(len(values), dtype=bool)]), 0.995))
    return -reach, reach
