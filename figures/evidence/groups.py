"""Groups of runs: one curve over seeds, the curves of a family of presets, an experiment of one's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from figures.evidence.matching import SOURCE, model_name
from figures.evidence.scales import TITLES, Scale
from llm.config import RunConfig
from llm.presets import Preset, family
from llm.runs.finished import Run
from toymodel.measures.losses import LossMatrix

__all__ = ["Experiment", "Family", "Member", "experiment_name"]


@dataclass(frozen=True)
class Member:
    """One curve: the runs of one preset, one per seed.

    Attributes:
        preset: whose.
        runs: by seed.
    """

    preset: Preset
    runs: tuple[Run, ...]

    @property
    def config(self) -> RunConfig:
        """What was run, with the first seed."""
        return self.runs[0].config

    @property
    def losses(self) -> list[LossMatrix]:
        """Loss matrices, one per seed."""
        return [run.losses for run in self.runs]

    @property
    def seeds(self) -> int:
        """Number of runs."""
        return len(self.runs)


@dataclass(frozen=True)
class Family:
    """The runs that were found for a family of presets at one scale.

    Attributes:
        name: the family with the suffix of the form it is nearest to, as ``reawaken llm sweep --presets``
            takes it.
        form: the suffix.
        scale: at which.
        members: those that have runs, in the paper's order.
        missing: those that have none.
        differences: settings, other than sizes, documents and weights, in which all runs differ from the
            preset's.
        distance: number of settings in which they do, sizes included.
        same_experiment: whether these are no more than other sizes, rates and numbers of things.
    """

    name: str
    form: str
    scale: Scale
    members: tuple[Member, ...]
    missing: tuple[Preset, ...]
    differences: tuple[str, ...] = ()
    distance: int = 0
    same_experiment: bool = True

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for member in self.members for run in member.runs]

    def only(self, label: str) -> Family | None:
        """The one member of that label by itself; None where it has no run."""
        members = tuple(member for member in self.members if member.preset.label == label)
        return replace(self, members=members, missing=()) if members else None

    @property
    def base(self) -> str:
        """Name of the family without suffix."""
        return self.members[0].preset.family

    @property
    def as_preset(self) -> bool:
        """Whether the presets, documents included, make exactly these runs."""
        return not self.distance and all(
            run.config.to_json()[name] == value
            for member in self.members
            for run in member.runs
            for name, value in member.preset.config.to_json().items()
            if name in SOURCE
        )

    @property
    def title(self) -> str:
        """What kind of networks these are, in a few words."""
        if self.differences and len(family(self.base)) == 1:
            return experiment_name(self.runs[0])  # of no preset: under its own name
        models = {member.config.model for member in self.members}
        if self.scale == "small":
            return TITLES["small"]
        if len(models) > 1:
            return TITLES[self.scale]
        weights = "pretrained" if self.scale == "pretrained" else "random weights"
        return f"{model_name(models.pop())}, {weights}"

    @property
    def settings(self) -> str:
        """In which settings but the model they differ from the preset's; empty for none."""
        return ", ".join(self.differences)


@dataclass(frozen=True)
class Experiment:
    """Runs that differ in their seed alone.

    Attributes:
        name: of their folder, without the seed.
        runs: by seed.
    """

    name: str
    runs: tuple[Run, ...]


def experiment_name(run: Run) -> str:
    """Name of a run without its seed."""
    return re.sub(r"-seed\d+", "", run.name) or run.name
