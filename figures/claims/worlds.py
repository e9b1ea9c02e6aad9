"""Where a claim is tested: in the networks' runs, or in the toy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from figures.catalogue import panel
from figures.evidence.counterparts import counterpart, toy_losses
from figures.evidence.runs import Member, Runs
from figures.panels.fig09 import path
from figures.panels.matrices import Matrix, member_of, toy_state
from llm.presets import FORMS, PRESETS
from toymodel.base.errors import InputError
from toymodel.measures.losses import LossMatrix
from toymodel.theory.trajectories import pca

__all__ = ["Networks", "NoCounterpart", "Toy", "World"]

Floats = NDArray[np.float64]


class NoCounterpart(InputError):
    """The toy lacks what is varied."""


class World(Protocol):
    """What a claim may ask for; everything by seed."""

    def losses(self, family: str, label: str) -> Mapping[int, LossMatrix]:
        """Loss matrices of a preset."""

    def matrices(self, figure: str) -> Mapping[int, Floats]:
        """What Figs. 8 and 18 show."""

    def sizes(self, figure: str) -> Mapping[int, Floats]:
        """What Fig. 17 shows, shape ``(E*T,)``."""

    def paths(self) -> Mapping[int, Floats]:
        """Fig. 9's path, shape ``(E*T, 3)``."""

    def tasks(self, figure: str) -> int:
        """T of a figure of probes."""


class Networks:
    """Runs of networks.

    Args:
        runs: which.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def losses(self, family: str, label: str) -> dict[int, LossMatrix]:
        """As `World`.

        Raises:
            MissingRuns: when the preset has no run.
        """
        forms = ("",) if family == "fig2a" else FORMS
        figure = next(p.figure for p in PRESETS.values() if p.family == family)
        return {
            run.config.seed: run.losses for run in member_of(self._runs, figure, family, label, forms).runs
        }

    def matrices(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        shown = panel(figure)
        assert isinstance(shown, Matrix)
        member = self._member(figure)
        return {run.config.seed: np.asarray(shown.read(run), dtype=np.float64) for run in member.runs}

    def sizes(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        values, _ = panel(figure).values(self._runs)  # type: ignore[attr-defined]
        return {run.config.seed: row for run, row in zip(self._member(figure).runs, values, strict=True)}

    def paths(self) -> dict[int, Floats]:
        """As `World`."""
        return {run.config.seed: path(run)[0] for run in self._member("9").runs}

    def tasks(self, figure: str) -> int:
        """As `World`."""
        return self._member(figure).config.num_documents

    def _member(self, figure: str) -> Member:
        shown = panel(figure)
        label = shown.member if isinstance(shown, Matrix) else shown.families[0]
        return member_of(self._runs, figure, shown.families[0], label)


class Toy:
    """The toy's version of everything; the loss matrices of three seeds, the rest of one.

    Args:
        seeds: of the loss matrices.
    """

    def __init__(self, seeds: int = 3) -> None:
        self._seeds = seeds

    def losses(self, family: str, label: str) -> dict[int, LossMatrix]:
        """As `World`.

        Raises:
            NoCounterpart: for what the toy lacks.
        """
        preset = next(p for p in PRESETS.values() if (p.family, p.label) == (family, label))
        setting = counterpart(preset)
        if setting is None:
            raise NoCounterpart(
                f"the toy has no {preset.varies}", expected="what the toy has", fix="fig5-steps"
            )
        return {seed: toy_losses(setting, seed) for seed in range(self._seeds)}

    def matrices(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        shown = panel(figure)
        assert isinstance(shown, Matrix)
        config = next(
            p.config for p in PRESETS.values() if (p.family, p.label) == (shown.family, shown.member)
        )
        values = np.asarray(shown.toy(toy_state(config)))
        whole = np.isfinite(values).any(0)
        return {0: values[np.ix_(whole, whole)]}

    def sizes(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        return {0: panel(figure).toy(toy_state(PRESETS["fig17"].config))}  # type: ignore[attr-defined]

    def paths(self) -> dict[int, Floats]:
        """As `World`."""
        return {0: pca(toy_state(PRESETS["fig9"].config).w[1:], 3).coordinates}

    def tasks(self, figure: str) -> int:
        """As `World`."""
        shown = panel(figure)
        label = shown.member if isinstance(shown, Matrix) else shown.families[0]
        return next(
            p.config.num_documents
            for p in PRESETS.values()
            if (p.family, p.label) == (shown.families[0], label)
        )
