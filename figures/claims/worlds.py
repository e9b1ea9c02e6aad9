"""Where a claim is tested: in the networks' runs, or in the toy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from figures.catalogue import panel
from figures.evidence.collection import Runs
from figures.evidence.counterparts import counterpart, toy_losses
from figures.evidence.groups import Member
from figures.evidence.lookup import MissingRuns, find_member
from figures.evidence.matching import differing
from figures.evidence.scales import Scale
from figures.panels.matrices import Probed, toy_state
from figures.panels.movement import path
from llm.config import RunConfig
from llm.presets import member
from llm.reproduce import sweep_command
from llm.runs.finished import Run
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

    def check_alike(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """Raise MissingRuns if two presets of different families were run with different networks."""

    def matrices(self, figure: str) -> Mapping[int, Floats]:
        """What Figs. 8 and 18 show."""

    def sizes(self, figure: str) -> Mapping[int, Floats]:
        """What Fig. 17 shows, shape ``(E*T,)``."""

    def paths(self) -> Mapping[int, Floats]:
        """Fig. 9's path, shape ``(E*T, 3)``."""

    def tasks(self, figure: str) -> int:
        """T of a figure of probes."""


class Networks:
    """Runs of networks at one scale.

    Args:
        runs: which.
        scale: of these.
    """

    def __init__(self, runs: Runs, scale: Scale) -> None:
        self._runs, self._scale = runs, scale

    def losses(self, family: str, label: str) -> dict[int, LossMatrix]:
        """As `World`.

        Raises:
            MissingRuns: when the preset has no run.
        """
        return {run.config.seed: run.losses for run in self._member(family, label).runs}

    def check_alike(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """As `World`: the runs may differ in what the presets differ in, and in nothing else.

        Raises:
            MissingRuns: when they do, or when there are none.
        """
        mine, theirs = self._member(*one), self._member(*other)
        differ = set(differing(mine.config, theirs.config))
        if not differ <= set(differing(mine.preset.config, theirs.preset.config)):
            raise MissingRuns(f"runs of {mine.preset.name} and {theirs.preset.name} differ in "
                              + ", ".join(sorted(differ)),
                              expected="runs of one network on one set of documents",
                              fix=sweep_command(one[0]))  # fmt: skip

    def matrices(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        shown = probed(figure)
        return {run.config.seed: np.asarray(shown.read(run), dtype=np.float64) for run in self._found(figure)}

    def sizes(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        return self.matrices(figure)

    def paths(self) -> dict[int, Floats]:
        """As `World`."""
        return {run.config.seed: path(run)[0] for run in self._found("9")}

    def tasks(self, figure: str) -> int:
        """As `World`."""
        return self._found(figure)[0].config.num_documents

    def _member(self, family: str, label: str) -> Member:
        return find_member(self._runs, member(family, label).figure, family, label, self._scale)

    def _found(self, figure: str) -> tuple[Run, ...]:
        return probed(figure).at(self._runs, self._scale).runs


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
        preset = member(family, label)
        setting = counterpart(preset)
        if setting is None:
            raise NoCounterpart(
                f"the toy has no {preset.varies}", expected="what the toy has", fix="fig5-steps"
            )
        return {seed: toy_losses(setting, seed) for seed in range(self._seeds)}

    def check_alike(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """As `World`: the toy is always one."""

    def matrices(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        values = np.asarray(probed(figure).toy(toy_state(self._config(figure))))
        whole = np.isfinite(values).any(0)
        return {0: values[np.ix_(whole, whole)]}

    def sizes(self, figure: str) -> dict[int, Floats]:
        """As `World`."""
        return {0: probed(figure).toy(toy_state(self._config(figure)))}

    def paths(self) -> dict[int, Floats]:
        """As `World`."""
        return {0: pca(toy_state(self._config("9")).w[1:], 3).coordinates}

    def tasks(self, figure: str) -> int:
        """As `World`."""
        return self._config(figure).num_documents

    @staticmethod
    def _config(figure: str) -> RunConfig:
        shown = probed(figure)
        return member(shown.family, shown.member).config


def probed(figure: str) -> Any:
    """The panel of a figure of probes."""
    shown = panel(figure)
    assert isinstance(shown, Probed)
    return shown
