"""Runs of networks as figures see them: read from run folders or from the recorded results, found by preset.

A figure asks for a family of presets. Which runs belong to it is told by their configurations alone: a run is
a member's if the two differ in nothing but seed, device, precision and additional probes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from figures.evidence.stored import read_folders, read_packed
from llm.config import RunConfig
from llm.presets import FORMS, Preset, family
from llm.runs.finished import Run
from toymodel.base.errors import InputError
from toymodel.base.words import nearest
from toymodel.measures.losses import LossMatrix

__all__ = [
    "RECORDED",
    "Family",
    "Member",
    "Runs",
    "recorded",
    "same_experiment",
]

RECORDED = Path(__file__).parents[1] / "recorded"
"""The results that come with this package: packed small networks, and folders of real runs."""


@dataclass(frozen=True)
class Member:
    """One curve: the runs of one preset, one per seed.

    Attributes:
        preset: whose.
        runs: by seed; empty where none was found.
    """

    preset: Preset
    runs: tuple[Run, ...]

    @property
    def config(self) -> RunConfig:
        """The preset's configuration."""
        return self.preset.config

    @property
    def losses(self) -> list[LossMatrix]:
        """Loss matrices, one per seed."""
        return [run.losses for run in self.runs]


@dataclass(frozen=True)
class Family:
    """The runs that were found for a family of presets, all of one form.

    Attributes:
        name: the family with the form's suffix, as ``reawaken llm sweep --presets`` takes it.
        form: the suffix.
        members: those that have runs.
        missing: those that have none.
    """

    name: str
    form: str
    members: tuple[Member, ...]
    missing: tuple[Preset, ...]

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for member in self.members for run in member.runs]


class Runs(Sequence[Run]):
    """Finished runs, to be asked for families.

    Args:
        runs: the runs; of equal configurations the first counts.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        once: dict[str, Run] = {}
        for run in runs:
            once.setdefault(run.config.id, run)
        self._runs = list(once.values())
        self._by_key: dict[RunConfig, list[Run]] = {}
        for run in self._runs:
            self._by_key.setdefault(same_experiment(run.config), []).append(run)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Runs:
        """Every finished run in a folder (itself a run, or one or two levels up), or packed results.

        Raises:
            InputError: when there is no such folder.
        """
        root = Path(folder)
        if not root.is_dir():
            raise InputError(f"--runs {root} is no folder", expected="a folder of run folders",
                             fix="reawaken llm sweep --presets fig1-small --out runs")  # fmt: skip
        return cls(run for source in (read_packed, read_folders) for run in source(root))

    def named(self, name: str) -> Run:
        """The run in the folder, or packed file, of that name.

        Raises:
            InputError: for a name that none has, with the nearest one.
        """
        names = [run.name for run in self._runs]
        if name not in names:
            fix = nearest(name, names) if names else "reawaken llm run --preset fig1-small --out runs/first"
            raise InputError(f"there is no run {name!r} among these {len(names)}",
                             expected="the name of a run folder", fix=fix)  # fmt: skip
        return self._runs[names.index(name)]

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, index: Any) -> Any:
        return self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def member(self, preset: Preset) -> Member:
        """The runs of one preset, by seed."""
        wanted = set(preset.config.probes)
        found = [
            r for r in self._by_key.get(same_experiment(preset.config), []) if wanted <= set(r.config.probes)
        ]
        once: dict[int, Run] = {}
        for run in found:
            once.setdefault(run.config.seed, run)
        return Member(preset, tuple(once[seed] for seed in sorted(once)))

    def family(self, name: str, forms: Sequence[str] = FORMS) -> Family | None:
        """The form of a family of which most members have runs; of equally many the first in `forms`.

        Members that coincide in a form (frozen blocks of a shallow network) are taken once.

        Args:
            name: the family, without suffix.
            forms: suffixes to look for.

        Returns:
            None where no member of any form has a run.
        """
        best: Family | None = None
        for form in forms:
            once = {same_experiment(p.config): p for p in reversed(family(name + form))}
            members = [self.member(preset) for preset in reversed(once.values())]
            found = tuple(m for m in members if m.runs)
            missing = tuple(m.preset for m in members if not m.runs)
            if found and (best is None or len(found) > len(best.members)):
                best = Family(name + form, form, found, missing)
        return best


def recorded() -> Runs:
    """The results that come with this package: small networks on a CPU, and real ones on a GPU."""
    return Runs.load(RECORDED)


def same_experiment(config: RunConfig) -> RunConfig:
    """What the runs of one curve have in common: everything but seed, probes and how it was executed."""
    return replace(config, seed=0, probes=(), device="auto", precision="ieee")
