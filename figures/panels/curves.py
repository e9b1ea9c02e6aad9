"""One drawing for every experiment that varies one thing: recovery curves and scores, network above toy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bridge import r_squared
from figures.evidence.counterparts import COUNTERPARTS, counterpart, toy_losses
from figures.evidence.fits import fitted_losses
from figures.evidence.reproduce import sweep_command
from figures.evidence.runs import Family, Runs
from figures.style import INK, SERIES, SHADE, figure_style, letter, new_figure
from llm.config import RunConfig, varied
from llm.presets import FORMS, PRESETS, family
from toymodel.base.errors import InputError
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores, shift_averaged, visits

__all__ = ["Curves", "Line", "MissingRuns", "find", "last_score", "shifted"]

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


class MissingRuns(InputError):
    """A figure has no runs to be drawn from; the message has the command that makes them."""


@dataclass(frozen=True)
class Line:
    """One curve of a panel: loss matrices over seeds.

    Attributes:
        label: in the legend.
        losses: one per seed.
    """

    label: str
    losses: Sequence[LossMatrix]


def find(runs: Runs, figure: str, name: str, forms: Sequence[str] = FORMS) -> Family:
    """The runs of a family.

    Raises:
        MissingRuns: with the command that makes them.
    """
    found = runs.family(name, forms)
    if found is None:
        small = "-small" if family(name)[0].config.task == "language" else "-embedded"
        laptop = f" (on a laptop: {name}{small})" if small in forms else ""
        raise MissingRuns(f"figure {figure}: no run of preset family {name} in any of its forms",
                          expected="run folders of " + " or ".join(name + form for form in forms),
                          fix=sweep_command(name) + laptop)  # fmt: skip
    return found


def shifted(losses: LossMatrix) -> Floats:
    """Shift-averaged loss from lag 0 to the last lag that all documents of a cyclic run reach."""
    last = (losses.epochs - 1) * losses.tasks
    return shift_averaged(losses).mean[: 1 + last]


def last_score(losses: LossMatrix, epoch: int | None = None) -> float:
    """Recovery score of the last epoch, or of a given one; NaN where it has no meaning."""
    at = (losses.epochs - 1 if epoch is None else epoch) - 1
    scores = recovery_scores(losses)
    return scores[at].value if 0 <= at < len(scores) else math.nan


@dataclass(frozen=True)
class Curves:
    """A figure of one family: curves, recovery scores, and the same of the toy.

    Attributes:
        figure: the paper's figure.
        family: of presets.
        title: what is seen.
        align: ``shift`` for the shift-averaged loss, ``document`` for the loss on the document trained first.
        bars: draw recovery scores.
        by_epoch: count training in epochs rather than episodes (runs of different T).
        epoch: of the recovery score; the last one if None.
        forms: forms of the presets that may stand for it.
    """

    figure: str
    family: str
    title: str
    align: str = "shift"
    bars: bool = True
    by_epoch: bool = False
    epoch: int | None = None
    forms: Sequence[str] = FORMS

    @property
    def families(self) -> tuple[str, ...]:
        """Families of presets that the figure shows."""
        return (self.family,)

    def lines(self, found: Family) -> list[Line]:
        """One per member, labelled by what the family varies."""
        return [Line(label, m.losses) for label, m in zip(labels(found), found.members, strict=True)]

    def toys(self, found: Family) -> list[Line]:
        """The toy's version of each member; empty if it has none."""
        settings = [counterpart(member.preset) for member in found.members]
        return [
            Line(label, [toy_losses(setting, seed) for seed in range(_TOY_SEEDS)])
            for label, setting in zip(labels(found), settings, strict=True)
            if setting is not None
        ]

    def draw(self, runs: Runs) -> Figure:
        """Network above, toy below, in the same axes.

        Raises:
            MissingRuns: when no member of the family has a run.
        """
        found = find(runs, self.figure, self.family, self.forms)
        lines, toys = self.lines(found), self.toys(found)
        controls = _controls(runs, found)
        fits = [fitted_losses(member.runs) for member in found.members]
        with figure_style():
            figure = new_figure(6.4, 5.6 if toys else 3.6)
            grid = figure.subplots(
                2 if toys else 1, 2 if self.bars else 1, squeeze=False,
                width_ratios=[2.1, 1] if self.bars else None, sharex="col",
            )  # fmt: skip
            for number, (line, fit) in enumerate(zip(lines, fits, strict=True)):
                self._curve(grid[0, 0], line, number)
                if fit is not None:
                    self._fit(grid[0, 0], fit)
            for kind, control in controls.items():
                _, dash = _CONTROLS[kind]
                grid[0, 0].plot(self._x(control.losses[0]), self._mean(control)[0], color="0.55", lw=1.1,
                                linestyle=dash, zorder=1, label=control.label)  # fmt: skip
            letter(grid[0, 0], self.figure, self.title)
            grid[0, 0].set_ylabel("loss (nats per token)")
            if toys:
                for number, line in enumerate(toys):
                    self._curve(grid[1, 0], line, number)
                grid[1, 0].set_title(f"toy: {COUNTERPARTS[self.family][1]}")
                grid[1, 0].set_ylabel("loss of the toy")
            if self.bars:
                self._scores(grid[0, 1], lines)
                if toys:
                    self._scores(grid[1, 1], toys)
                epoch = self.epoch or lines[0].losses[0].epochs - 1
                grid[-1, 1].set_xlabel(f"recovery score, epoch {epoch}", loc="right")
            grid[-1, 0].set_xlabel("training epoch" if self.by_epoch else "training episode")
            self._ticks(grid[-1, 0], lines)
            figure.legend(handles=self._legend(lines, controls, any(f is not None for f in fits)),
                          loc="outside lower center", ncols=3, fontsize=8.5)  # fmt: skip
        return figure

    def caption(self, runs: Runs) -> str:
        """What is drawn, in words."""
        found = find(runs, self.figure, self.family, self.forms)
        seeds = sorted({len(m.runs) for m in found.members})
        several = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
        what = {
            "shift": "Loss in nats per token, averaged over documents aligned at their first training",
            "document": "Loss on the document that is trained first, in nats per token",
        }[self.align]
        text = f"{what}, for {len(found.members)} settings of: {found.members[0].preset.varies}. "
        text += (
            f"Mean over {several} seed(s); shaded: one standard deviation over seeds. Black circles: just "
        )
        text += "before the document is trained. "
        if self.bars:
            text += "Bars: recovery score (paper eq. 1); dots: seeds; an x where the score has no meaning. "
        if self.family in COUNTERPARTS:
            text += f"Below: the toy f(w) = y - w, T tasks and {_TOY_SEEDS} seeds; it varies "
            text += f"{COUNTERPARTS[self.family][1]}; its loss has no unit."
        else:
            text += "The toy has no counterpart of what is varied."
        for label, member in zip(labels(found), found.members, strict=True):
            fits = fitted_losses(member.runs)
            if fits is not None:
                shares = [
                    r_squared(run.losses.values, fit.values)
                    for run, fit in zip(member.runs, fits, strict=True)
                ]
                text += f" Black dots: the toy fitted to {label}, R² {np.mean(shares):.3f}."
        return text

    def scores(self, runs: Runs) -> list[tuple[str, list[float]]]:
        """Recovery scores by member and seed; those without a meaning are left out."""
        found = find(runs, self.figure, self.family, self.forms)
        table = [(line.label, [last_score(m, self.epoch) for m in line.losses]) for line in self.lines(found)]
        return [(label, [v for v in values if math.isfinite(v)]) for label, values in table]

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

    def _curve(self, axes: Axes, line: Line, number: int) -> None:
        look = SERIES[number % len(SERIES)]
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

    def _fit(self, axes: Axes, fit: Sequence[LossMatrix]) -> None:
        mean, _ = self._mean(Line("", fit))
        axes.plot(self._x(fit[0]), mean, label="_fit", zorder=3, **_FIT)

    def _scores(self, axes: Axes, lines: Sequence[Line]) -> None:
        """Horizontal bars, first member on top; each seed a dot."""
        for number, line in enumerate(lines):
            look = SERIES[number % len(SERIES)]
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

    def _ticks(self, axes: Axes, lines: Sequence[Line]) -> None:
        matrix = lines[0].losses[0]
        last = matrix.epochs - (self.align == "shift")
        axes.set_xticks(np.arange(last + 1) * (1 if self.by_epoch else matrix.tasks))

    def _legend(
        self, lines: Sequence[Line], controls: Mapping[str, Line], fitted: bool
    ) -> list[Line2D | Patch]:
        handles: list[Line2D | Patch] = []
        for number, line in enumerate(lines):
            look = SERIES[number % len(SERIES)]
            handles.append(
                Line2D([], [], color=look["color"], linestyle=look["linestyle"], lw=1.6, label=line.label)
            )
        for kind, control in controls.items():
            handles.append(
                Line2D([], [], color="0.55", linestyle=_CONTROLS[kind][1], lw=1.2, label=control.label)
            )
        handles.append(
            Line2D(
                [], [], marker="o", markersize=3, color=INK, linestyle="none", label="just before training"
            )
        )
        if any(len(line.losses) > 1 for line in lines):
            handles.append(Patch(facecolor=SHADE, alpha=0.5, label="± s.d. over seeds"))
        if fitted:
            handles.append(Line2D([], [], label="fitted toy", **_FIT))
        return handles


def labels(found: Family) -> list[str]:
    """What tells the members apart: their values of the first fields, of those the paper varies, that do."""
    members, family = found.members, found.members[0].preset.family
    if len(members) == 1 and members[0].preset.label == family:
        return ["cyclic order"]
    papers = [preset.config for preset in PRESETS.values() if preset.family == family]
    fields = [name for name in varied(papers) if name in _FIELDS and name != "model"]
    for count in range(1, len(fields) + 1):
        told = [" ".join(_told(member.config, name) for name in fields[:count]).strip() for member in members]
        if len(set(told)) == len(members):
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


def _controls(runs: Runs, found: Family) -> dict[str, Line]:
    """The two controls, if they were run with the settings of a member, and are not members themselves."""
    if found.members[0].preset.family in ("control", "sec4"):
        return {}
    control = runs.family("control", (found.form,))
    settings = [replace(member.config, probes=()) for member in found.members]
    lines: dict[str, Line] = {}
    for member in control.members if control else ():
        kind = member.config.schedule
        if kind in _CONTROLS and replace(member.config, schedule="cyclic") in settings:
            lines[kind] = Line(_CONTROLS[kind][0], member.losses)
    return lines
