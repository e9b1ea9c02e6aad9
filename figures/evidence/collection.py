"""Runs of networks as figures see them: found by what they vary, at every scale, wherever they lie.

A figure asks for a family of presets at a scale. A run is a member's if it has the member's value of what the
family varies; runs that differ in nothing else are one group. Seed, device, precision and further probes do
not count, documents and tokenizer must be the same within a group. Of all groups the one of most members is
taken, of equally many the one nearest to the preset, and how it differs from it is said.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from figures.evidence.groups import Experiment, Family, Member, experiment_name
from figures.evidence.matching import (
    FREE,
    OTHER_SETTINGS,
    SHAPE,
    SOURCE,
    Values,
    by_value_of,
    differing,
    forms_at,
    like_preset,
    members_of,
    presets_settings,
    rest_of,
    value_of,
)
from figures.evidence.scales import SCALES, Scale, scale_of
from figures.evidence.stored import read_folders, read_packed
from llm.config import RunConfig
from llm.presets import Preset
from llm.runs.finished import Run
from toymodel.base.errors import InputError
from toymodel.base.words import arg, nearest

__all__ = ["RECORDED", "Runs", "recorded"]

RECORDED = Path(__file__).parents[1] / "recorded"
"""The results that come with this package: packed small networks, and folders of real runs."""


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
        self._settings = [run.config.to_json() for run in self._runs]
        self._found: dict[tuple[str, Scale, tuple[str, ...] | None], Family | None] = {}

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Runs:
        """Every finished run in a folder (itself a run, or one or two levels up), or packed results.

        Raises:
            InputError: when there is no such folder.
        """
        root = Path(folder)
        if not root.is_dir():
            raise InputError(arg("runs", root) + " is no folder", expected="a folder of run folders",
                             fix="reawaken llm sweep --presets fig1-small --out runs")  # fmt: skip
        return cls(run for source in (read_packed, read_folders) for run in source(root))

    def named(self, name: str) -> Run:
        """The run in the folder, or packed file, of that name.

        Raises:
            InputError: for a name that none has, with the nearest one, or that several have.
        """
        names = [run.name for run in self._runs]
        if name not in names:
            fix = nearest(name, names) if names else "reawaken llm run --preset fig1-small --out runs/first"
            raise InputError(f"there is no run {name!r} among these {len(names)}",
                             expected="the name of a run folder", fix=fix)  # fmt: skip
        run, *others = (run for run in self._runs if run.name == name)
        if others:
            other = others[0].path.parent
            raise InputError(f"several runs are called {name!r}, in {run.path.parent} and {other}",
                             expected="a folder in which each name is one run's",
                             fix=f"Runs.load({str(run.path.parent)!r})")  # fmt: skip
        return run

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, index: Any) -> Any:
        return self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def family(self, name: str, scale: Scale, probes: Sequence[str] | None = None) -> Family | None:
        """The best group of runs for a family of presets at a scale.

        Args:
            name: the family, without suffix.
            scale: at which.
            probes: that every run must have; those of the presets if None.

        Returns:
            None where no member has a run.

        Raises:
            InputError: when runs of the group name the same documents and have others.
        """
        key = (name, scale, None if probes is None else tuple(probes))
        if key not in self._found:
            candidates = [
                one for form in forms_at(name, scale) for one in self._groups(name, form, scale, probes)
            ]
            best = max(candidates, key=_worth, default=None)
            if best is not None:
                _check_tasks(best)
            self._found[key] = best
        return self._found[key]

    def member(self, preset: Preset) -> Member:
        """The runs of exactly one preset, documents and weights included; of none where there are none."""
        wanted = set(preset.config.probes)
        alike = [r for r in self._runs if wanted <= set(r.probes) and not differing(r.config, preset.config)]
        return Member(preset, tuple(_by_seed(alike)))

    def families(
        self, name: str, scales: Sequence[Scale] = SCALES, probes: Sequence[str] | None = None
    ) -> list[Family]:
        """The family at every scale where it has runs; those of a single member only if no other has more.

        Random weights in other shapes stand in where no scale has any.
        """
        found = [one for scale in scales if (one := self.family(name, scale, probes))]
        if not found and (other := self.family(name, "other", probes)):
            return [other]
        most = max((len(one.members) for one in found), default=0)
        return [one for one in found if len(one.members) >= min(2, most)]

    def own(self) -> list[Experiment]:
        """Experiments that are no preset's in any form, in the order in which they were found."""
        groups: dict[Values, list[Run]] = {}
        for run, settings in zip(self._runs, self._settings, strict=True):
            if like_preset(settings) not in presets_settings():
                groups.setdefault(rest_of(settings, FREE), []).append(run)
        return [Experiment(experiment_name(runs[0]), tuple(_by_seed(runs))) for runs in groups.values()]

    def controls(self, configs: Sequence[RunConfig]) -> dict[str, list[Run]]:
        """Runs that differ from one of the configurations in nothing but their order, by schedule."""
        found: dict[str, list[Run]] = {}
        for run in self._runs:
            for config in configs:
                if run.config.schedule != config.schedule and differing(run.config, config) == ["schedule"]:
                    found.setdefault(run.config.schedule, []).append(run)
                    break
        return {schedule: _by_seed(runs) for schedule, runs in found.items()}

    def _groups(self, name: str, form: str, scale: Scale, probes: Sequence[str] | None) -> Iterator[Family]:
        presets, fields, fixed = members_of(name, form)
        if not fields and len(presets) > 1:
            return  # in this form the members do not differ
        by_value, task = by_value_of(presets, fields), presets[0].config.task
        wanted = set(presets[0].config.probes if probes is None else probes)
        groups: dict[Values, dict[Values, list[Run]]] = {}
        for run, settings in zip(self._runs, self._settings, strict=True):
            if (scale_of(run.config), run.config.task) != (scale, task):
                continue
            if not wanted <= set(run.probes):
                continue
            value = value_of(settings, fields)
            if value in by_value:
                rest = rest_of(settings, {*FREE, *fields})
                groups.setdefault(rest, {}).setdefault(value, []).append(run)
        for group in groups.values():
            one = next(iter(group.values()))[0].config
            differ = [k for k in differing(one, presets[0].config) if k not in {*SOURCE, *fields}]
            if fields and not set(differ) <= OTHER_SETTINGS - fixed:
                continue  # another experiment
            precision = Counter(run.config.precision for runs in group.values() for run in runs)
            members, missing = [], []
            for value, preset in by_value.items():
                runs = sorted(group.get(value, []), key=lambda run: -precision[run.config.precision])
                if runs:
                    members.append(Member(preset, tuple(_by_seed(runs))))
                else:
                    missing.append(preset)
            yield Family(
                name + form, form, scale, tuple(members), tuple(missing),
                # An order is called by its schedule, "given": a title has no room for its numbers.
                tuple(f"{k.replace('_', ' ')} {getattr(one, k)}" for k in differ
                      if k not in {*SHAPE, "order"}),
                len(differ),
                set(differ) <= OTHER_SETTINGS - fixed,
            )  # fmt: skip


def recorded() -> Runs:
    """The results that come with this package: small networks on a CPU, and real ones on a GPU."""
    return Runs.load(RECORDED)


def _worth(one: Family) -> tuple[int, int, int]:
    return len(one.members), -one.distance, len(one.runs)


def _by_seed(runs: Iterable[Run]) -> list[Run]:
    once: dict[int, Run] = {}
    for run in runs:
        once.setdefault(run.config.seed, run)
    return [once[seed] for seed in sorted(once)]


def _check_tasks(found: Family) -> None:
    """That runs which name the same documents were trained on the same."""
    seen: dict[Values, tuple[str, Run]] = {}
    for run in found.runs:
        config, tasks = run.config, run.manifest.get("tasks", {}).get("sha256")
        if tasks is None:
            continue
        key = (config.seed, config.num_documents, config.context, config.window, config.window_shift,
               config.batch, config.model if config.task != "language" else "")  # fmt: skip
        before, other = seen.setdefault(key, (tasks, run))
        if before != tasks:
            raise InputError(
                f"runs {other.name} and {run.name} name the same documents ({config.documents}) and were "
                f"trained on others (hash {before[:12]} against {tasks[:12]})",
                expected="one set of documents for the runs of one figure",
                fix=f"move {run.path} out of the folder",
            )
