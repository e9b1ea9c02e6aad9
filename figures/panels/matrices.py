"""Matrices that probes find, mean over seeds, beside the toy's (Figs. 8 and 18)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.captions import Caption, seeds_of
from figures.evidence.collection import Runs
from figures.evidence.counterparts import ToySetting
from figures.evidence.groups import Family, Member
from figures.evidence.lookup import find, find_member
from figures.evidence.scales import Scale
from figures.style import NETWORK, TOY, figure_style, letter, new_figure
from llm.config import RunConfig
from llm.runs.finished import Run
from toymodel import compressed_run, cyclic_order, random_gram, shares

__all__ = ["Beside", "Matrix", "Probed", "ToyState", "toy_state"]

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


@dataclass(frozen=True)
class Probed:
    """A figure of what a probe found in one run after another.

    Attributes:
        figure: the paper's figure.
        family: of presets.
        probe: which finds it.
        title: what is seen.
        words: what is drawn, for the caption.
        unit: of it.
        label: which member of the family; the only one if empty.
    """

    figure: str
    family: str
    probe: str
    title: str
    words: str
    unit: str = ""
    label: str = ""

    @property
    def families(self) -> tuple[str, ...]:
        """Families of presets that the figure shows."""
        return (self.family,)

    @property
    def member(self) -> str:
        """Label of the member of the family."""
        return self.label or self.family

    def found(self, runs: Runs) -> list[Family]:
        """The runs that are drawn, one family of the one member for each scale.

        Raises:
            MissingRuns: when the member has no run at any scale.
        """
        every = find(runs, self.figure, self.family, probes=(self.probe,))
        kept = [one for each in every if (one := each.only(self.member))]
        if not kept:
            self.at(runs, every[0].scale)  # raises, with the command that makes the member
        return kept

    def at(self, runs: Runs, scale: Scale) -> Member:
        """The runs of one scale.

        Raises:
            MissingRuns: when there are none.
        """
        return find_member(runs, self.figure, self.family, self.member, scale, (self.probe,))


@dataclass(frozen=True, kw_only=True)
class Beside(Probed):
    """A panel for each scale, and the toy's on the right.

    Attributes:
        read: what is drawn of a run.
        toy: the same of the toy's run.
    """

    read: Callable[[Run], Floats]
    toy: Callable[[ToyState], Floats]
    size: ClassVar[tuple[float, float]] = (3.6, 3.2)  # of a panel, in inches

    def draw(self, runs: Runs) -> Figure:
        """Networks and toy.

        Raises:
            MissingRuns: when there is no run.
        """
        found = self.found(runs)
        config = found[0].members[0].config
        with figure_style():
            figure = new_figure(self.size[0] * (1 + len(found)), self.size[1])
            *networks, toy = figure.subplots(1, 1 + len(found))
            for axes, one in zip(networks, found, strict=True):
                (member,) = one.members
                self.panel(axes, np.array([self.read(run) for run in member.runs]), member.config, NETWORK)
                axes.set_title(one.title)
            title = self.title if len(found) == 1 else f"{self.title}: {found[0].title}"
            letter(networks[0], self.figure, title)
            self.panel(toy, self.toy(toy_state(config))[None], config, TOY)
            toy.set_title("toy")
        return figure

    def panel(self, axes: Axes, seeds: Floats, config: RunConfig, look: Mapping[str, Any]) -> None:
        """Draw what was read, the first axis being the seeds."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Matrix(Beside):
    """A figure of one matrix, mean over seeds.

    Attributes:
        axes_labels: of x and y.
        bar: label of the colour bar.
        limits: of the colours: ``off-diagonal``, symmetric and fitting what lies off the diagonal; ``whole``,
            symmetric and fitting all; ``one-sided``, from the 2nd percentile to the largest.
        first: number of the first row and column.
    """

    axes_labels: tuple[str, str]
    bar: str
    limits: str = "off-diagonal"
    first: Callable[[RunConfig], int] = lambda config: 1

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        return Caption(self.words, self.unit, seeds_of(self.found(runs)),
                       "Right: the same of the toy with as many tasks.")  # fmt: skip

    def panel(self, axes: Axes, seeds: Floats, config: RunConfig, look: Mapping[str, Any]) -> None:
        """The mean, in colours."""
        values, first = seeds.mean(axis=0), self.first(config)
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
        limit = float(np.nanmax(np.abs(values)))
    else:  # one document's own gain is of another size
        limit = float(np.nanquantile(np.abs(values[~np.eye(len(values), dtype=bool)]), 0.995))
    return -limit, limit
