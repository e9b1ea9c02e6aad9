"""One drawing for every experiment that varies one thing: recovery curves and scores, network above toy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bridge import r_squared
from figures.captions import Caption, seeds_of
from figures.evidence.collection import Runs
from figures.evidence.counterparts import COUNTERPARTS, counterpart, toy_losses
from figures.evidence.fits import fitted_losses
from figures.evidence.groups import Family
from figures.evidence.lookup import find
from figures.evidence.scales import SCALES, Scale
from figures.evidence.scores import last_score, shifted
from figures.style import INK, SERIES, SHADE, figure_style, folded, letter, new_figure
from llm.config import RunConfig, varied
from llm.presets import family
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import visits

__all__ = ["Curves", "Line", "labels"]

Floats = NDArray[np.float64]
_TOY_SEEDS = 3
# How the two controls are drawn; the colour is the same grey, so that they stay behind.
_CONTROLS: Mapping[str, tuple[str, Any]] = {
    "reshuffled": ("order reshuffled every epoch", (0, (1, 1.2))),
    "iid": ("documents drawn at random", (0, (5, 1.2))),
}
# Black, so that it is seen on a curve of any colour.
_FIT: dict[str, Any] = {"color": INK, "linestyle": (0, (1, 1.7)), "linewidth": 1.3}
_FIELDS = {
    "model": "", "width": "width ", "depth": "depth ", "heads": "heads ", "num_documents": "T = ",
    "steps": "M = ", "context": "C = ", "freeze_blocks": "frozen ", "mask_probability": "masked ≤ ",
    "window_shift": "shift ≤ ", "lr": "rate ", "init": "", "optimizer": "", "schedule": "",
    "shuffle_until": "N = ",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One curve of a panel: loss matrices over seeds.

    Attributes:
        label: in the legend.
        losses: one per seed.
        number: of its look in `SERIES`.
    """

    label: str
    losses: Sequence[LossMatrix]
    number: int = 0


@dataclass(frozen=True)
class Row:
    """One pair of panels, curves and scores: of the networks of one scale, or of the toy.

    Attributes:
        title: which networks.
        unit: of the loss.
        lines: one per member.
        controls: behind them, by schedule.
        fits: the fitted toy of each line; None where there is none.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    controls: Mapping[str, Line]
    fits: Sequence[Sequence[LossMatrix] | None]


@dataclass(frozen=True)
class Curves:
    """A figure of one family: curves and recovery scores at every scale, and the same of the toy.

    Attributes:
        figure: the paper's figure.
        family: of presets.
        title: what is seen.
        align: ``shift`` for the shift-averaged loss, ``document`` for the loss on the document trained first.
        bars: draw recovery scores.
        by_epoch: count training in epochs rather than episodes (runs of different T).
        epoch: of the recovery score; the last one if None.
        scales: at which the figure makes sense.
        task: what a task is called.
        unit: what a loss is a mean over.
        names: of the members, by label; told by what varies for those that are missing.
    """

    figure: str
    family: str
    title: str
    align: str = "shift"
    bars: bool = True
    by_epoch: bool = False
    epoch: int | None = None
    scales: tuple[Scale, ...] = SCALES
    task: tuple[str, str] = ("document", "documents")
    unit: str = "token"
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def families(self) -> tuple[str, ...]:
        """Families of presets that the figure shows."""
        return (self.family,)

    def found(self, runs: Runs) -> list[Family]:
        """The runs that are drawn, one family for each scale.

        Raises:
            MissingRuns: when no member of the family has a run at any scale.
        """
        return find(runs, self.figure, self.family, self.scales)

    def lines(self, found: Family) -> list[Line]:
        """One per member, labelled by what the family varies."""
        told = zip(labels(found), found.members, strict=True)
        order = [preset.label for preset in family(self.family)]
        return [
            Line(self.names.get(m.preset.label, label), m.losses, order.index(m.preset.label))
            for label, m in told
        ]

    def toys(self, found: Sequence[Family]) -> list[Line]:
        """The toy's version of every member; empty if it has none."""
        drawn: dict[int, Line] = {}
        for one in found:
            for line, member in zip(self.lines(one), one.members, strict=True):
                setting = counterpart(member.preset)
                if setting is not None and line.number not in drawn:
                    losses = [toy_losses(setting, seed) for seed in range(_TOY_SEEDS)]
                    drawn[line.number] = replace(line, losses=losses)
        return [drawn[number] for number in sorted(drawn)]

    def rows(self, runs: Runs) -> list[Row]:
        """What is drawn, from top to bottom.

        Raises:
            MissingRuns: as `found`.
        """
        found = self.found(runs)
        rows = []
        for one in found:
            controls = {
                kind: Line(_CONTROLS[kind][0], [run.losses for run in control])
                for kind, control in runs.controls([m.config for m in one.members]).items()
                if kind in _CONTROLS and one.base not in ("control", "sec4")
            }
            title = one.title + (f" ({one.settings})" if one.settings else "")
            fits = [fitted_losses(member.runs) for member in one.members]
            rows.append(Row(title, f"loss (nats per {self.unit})", self.lines(one), controls, fits))
        if toys := self.toys(found):
            title = f"toy: {COUNTERPARTS[self.family][1]}"
            rows.append(Row(title, "loss of the toy", toys, {}, [None] * len(toys)))
        return rows

    def draw(self, runs: Runs) -> Figure:
        """Networks above, a row for each scale, the toy below, in the same axes.

        Raises:
            MissingRuns: as `found`.
        """
        rows = self.rows(runs)
        with figure_style():
            figure = new_figure(6.4, {1: 3.6, 2: 5.6}.get(len(rows), 0.7 + 2.5 * len(rows)))
            grid = figure.subplots(
                len(rows), 2 if self.bars else 1, squeeze=False,
                width_ratios=[2.1, 1] if self.bars else None, sharex="col",
            )  # fmt: skip
            for axes, row in zip(grid, rows, strict=True):
                self._draw_row(axes, row)
            only = len(rows) - bool(rows[-1].title.startswith("toy")) == 1
            letter(grid[0, 0], self.figure, self.title if only else f"{self.title}: {rows[0].title}")
            if self.bars:
                epochs = {line.losses[0].epochs - 1 for line in rows[0].lines}
                epoch = self.epoch or max(epochs)
                grid[-1, 1].set_xlabel(f"recovery score, epoch {epoch}", loc="right")
            grid[-1, 0].set_xlabel("training epoch" if self.by_epoch else "training episode")
            self._ticks(grid[-1, 0], rows)
            figure.legend(handles=self._legend(rows), loc="outside lower center", ncols=3, fontsize=8.5)
        return figure

    def caption(self, runs: Runs) -> Caption:
        """What is drawn."""
        found = self.found(runs)
        one, many = self.task
        what = {
            "shift": f"Loss, averaged over {many} aligned at their first training",
            "document": f"Loss on the {one} that is trained first",
        }[self.align]
        what += f", for {max(len(f.members) for f in found)} settings of: "
        what += f"{found[0].members[0].preset.varies}. Shaded: one standard deviation over seeds. "
        what += f"Black circles: just before the {one} is trained."
        if self.bars:
            what += " Bars: recovery score (paper eq. 1); dots: seeds; an x where the score has no meaning."
        for row in self.rows(runs):
            for line, fit in zip(row.lines, row.fits, strict=True):
                if fit is not None:
                    shares = [r_squared(m.values, f.values) for m, f in zip(line.losses, fit, strict=True)]
                    what += f" Black dots: the toy fitted to {line.label} ({row.title}), "
                    what += f"R² {np.mean(shares):.3f}."
        toy = "The toy has no counterpart of what is varied."
        if self.family in COUNTERPARTS:
            toy = f"Below: the toy f(w) = y - w, T tasks and {_TOY_SEEDS} seeds, with "
            toy += f"{COUNTERPARTS[self.family][1]}; its loss has no unit."
        return Caption(what, f"Losses in nats per {self.unit}.", seeds_of(found), toy)

    def scores(self, found: Family) -> list[tuple[str, list[float]]]:
        """Recovery scores by member and seed; those without a meaning are left out."""
        table = [(line.label, [last_score(m, self.epoch) for m in line.losses]) for line in self.lines(found)]
        return [(label, [v for v in values if math.isfinite(v)]) for label, values in table]

    def _draw_row(self, axes: Sequence[Axes], row: Row) -> None:
        for line, fit in zip(row.lines, row.fits, strict=True):
            self._curve(axes[0], line)
            if fit is not None:
                mean, _ = self._mean(Line("", fit))
                axes[0].plot(self._x(fit[0]), mean, label="_fit", zorder=3, **_FIT)
        for kind, control in row.controls.items():
            axes[0].plot(self._x(control.losses[0]), self._mean(control)[0], color="0.55", lw=1.1,
                         linestyle=_CONTROLS[kind][1], zorder=1, label=control.label)  # fmt: skip
        axes[0].set_title(folded(row.title))
        axes[0].set_ylabel(row.unit)
        if self.bars:
            self._scores(axes[1], row.lines)

    def _mean(self, line: Line) -> tuple[Floats, Floats | None]:
        if self.align == "shift":
            table = [shifted(m) for m in line.losses]
        else:
            table = [m.values[:, m.order[0, 0]] for m in line.losses]
        spread = np.std(table, axis=0, ddof=1) if len(table) > 1 else None
        return np.mean(table, axis=0), spread

    def _x(self, matrix: LossMatrix) -> Floats:
        last = (matrix.epochs - (self.align == "shift")) * matrix.tasks
        return np.arange(1 + last) / (matrix.tasks if self.by_epoch else 1)

    def _curve(self, axes: Axes, line: Line) -> None:
        look = SERIES[line.number % len(SERIES)]
        mean, spread = self._mean(line)
        x = self._x(line.losses[0])
        if spread is not None:
            axes.fill_between(
                x, mean - spread, mean + spread, color=look["color"], alpha=0.2, lw=0, zorder=1.5
            )
        axes.plot(x, mean, color=look["color"], linestyle=look["linestyle"], lw=1.5, label=line.label)
        before = self._before(line.losses)
        axes.plot(x[before], mean[before], "o", color=INK, markersize=2.6, zorder=4, label="_before")
        axes.set_xlim(-0.02 * x[-1], 1.02 * x[-1])

    def _before(self, matrices: Sequence[LossMatrix]) -> NDArray[np.int64]:
        """Rows just before the focal document is trained, where seeds agree about them."""
        rows = []
        for matrix in matrices:
            every = visits(matrix)
            if self.align == "document":
                rows.append(every[int(matrix.order[0, 0])])
            else:  # reshuffled orders have no moment, but the first, that all documents share
                rows += [found - found[0] for found in every if len(found)]
        common = set(rows[0].tolist()).intersection(*(r.tolist() for r in rows))
        return np.array(sorted(common), dtype=np.int64)

    def _scores(self, axes: Axes, lines: Sequence[Line]) -> None:
        """Horizontal bars, first member on top; each seed a dot."""
        for number, line in enumerate(lines):
            look = SERIES[line.number % len(SERIES)]
            values = np.array([last_score(m, self.epoch) for m in line.losses])
            good = values[np.isfinite(values)]
            if len(good):
                spread = float(good.std(ddof=1)) if len(good) > 1 else 0.0
                axes.barh(number, good.mean(), xerr=spread or None, height=0.62, color=look["color"],
                          alpha=0.55, error_kw={"lw": 1, "capsize": 2}, label=line.label)  # fmt: skip
                axes.plot(good, np.full(len(good), number), look["marker"], color=INK, markersize=2.4)
            else:
                axes.plot([0.02], [number], "x", color=INK, markersize=5)
        axes.set_yticks(range(len(lines)), [line.label for line in lines], fontsize=8.5)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.tick_params(axis="y", length=0)

    def _ticks(self, axes: Axes, rows: Sequence[Row]) -> None:
        longest = max((row.lines[0].losses[0] for row in rows), key=lambda matrix: len(matrix.values))
        last = longest.epochs - (self.align == "shift")
        axes.set_xticks(np.arange(last + 1) * (1 if self.by_epoch else longest.tasks))

    def _legend(self, rows: Sequence[Row]) -> list[Line2D | Patch]:
        """One handle per member, with all its labels where they differ by scale, and one per kind of mark."""
        told: dict[int, dict[str, None]] = {}
        for row in rows:
            for line in row.lines:
                told.setdefault(line.number, {})[line.label] = None
        handles: list[Line2D | Patch] = []
        for number in sorted(told):
            look = SERIES[number % len(SERIES)]
            label = " / ".join(told[number])
            handles.append(
                Line2D([], [], color=look["color"], linestyle=look["linestyle"], lw=1.6, label=label)
            )
        for kind in {kind: None for row in rows for kind in row.controls}:
            name, dash = _CONTROLS[kind]
            handles.append(Line2D([], [], color="0.55", linestyle=dash, lw=1.2, label=name))
        circle: dict[str, Any] = {"marker": "o", "markersize": 3, "linestyle": "none", "color": INK}
        handles.append(Line2D([], [], label="just before training", **circle))
        if any(len(line.losses) > 1 for row in rows for line in row.lines):
            handles.append(Patch(facecolor=SHADE, alpha=0.5, label="± s.d. over seeds"))
        if any(fit is not None for row in rows for fit in row.fits):
            handles.append(Line2D([], [], label="fitted toy", **_FIT))
        return handles


def labels(found: Family) -> list[str]:
    """What tells the members apart: their values of the first fields, of those the paper varies, that do."""
    members = found.members
    papers = [preset.config for preset in family(found.base)]
    if len(papers) == 1:
        schedule = members[0].config.schedule
        return [f"{schedule} order" if schedule == "cyclic" else schedule]
    fields = [name for name in varied(papers) if name in _FIELDS and name != "model"]
    for count in range(1, len(fields) + 1):
        told = [" ".join(_told(member.config, name) for name in fields[:count]).strip() for member in members]
        if len(set(told)) == len(members) and all(told):
            return told
    return [member.preset.label for member in members]


def _told(config: RunConfig, field: str) -> str:
    value = getattr(config, field)
    if value is None:
        return ""
    if field == "lr":
        value = f"{value:g}"
    if field == "schedule" and value == "middle-shuffled":
        return ""
    return f"{_FIELDS[field]}{value}"
