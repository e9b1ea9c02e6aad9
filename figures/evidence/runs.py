"""Runs of networks as figures see them: read from run folders or from the recorded results, found by preset.

A figure asks for a family of presets. Which runs belong to it is told by their configurations alone: a run is
a member's if the two differ in nothing but seed, device, precision and additional probes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.evidence.fits import fitted
from llm.config import RunConfig
from llm.presets import PRESETS, Preset, family
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.measures.losses import LossMatrix

__all__ = [
    "FORMS",
    "Family",
    "Member",
    "RecordedRun",
    "Runs",
    "made_by",
    "pack",
    "recorded",
    "run_command",
    "sweep_command",
]

FORMS = ("", "-random", "-embedded", "-small")
"""Forms of a preset in order of preference: the paper's own first."""

_INDEX = "index.json"
# What of a manifest tells runs apart; the rest is in the run folder.
_IDENTITY = ("started", "finished", "git_commit", "device", "threads", "versions", "model")


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """One finished run.

    Attributes:
        config: what was run.
        manifest: versions, device and hashes.
        path: run folder, or packed file.
    """

    config: RunConfig
    manifest: Mapping[str, Any]
    path: Path

    @cached_property
    def losses(self) -> LossMatrix:
        """The loss matrix."""
        return LossMatrix.load(self.path)

    def probe(self, name: str) -> dict[str, NDArray[Any]]:
        """What a probe found.

        Raises:
            InputError: when the run has none of that name.
        """
        if name not in self.config.probes:
            raise InputError(f"run {self.config.id} has no probe {name!r}",
                             expected="one of " + (", ".join(self.config.probes) or "none"),
                             fix=f"--probes {name}")  # fmt: skip
        if self.path.is_dir():
            with np.load(self.path / "probes" / f"{name}.npz", allow_pickle=False) as arrays:
                return dict(arrays)
        with np.load(self.path, allow_pickle=False) as arrays:
            return {key.partition("/")[2]: arrays[key] for key in arrays if key.startswith(f"{name}/")}


@dataclass(frozen=True)
class Member:
    """One curve: the runs of one preset, one per seed.

    Attributes:
        preset: whose.
        runs: by seed; empty where none was found.
    """

    preset: Preset
    runs: tuple[RecordedRun, ...]

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
    def runs(self) -> list[RecordedRun]:
        """All runs."""
        return [run for member in self.members for run in member.runs]


class Runs(Sequence[RecordedRun]):
    """Finished runs, to be asked for families.

    Args:
        runs: the runs; of equal configurations the first counts.
    """

    def __init__(self, runs: Iterable[RecordedRun]) -> None:
        once: dict[str, RecordedRun] = {}
        for run in runs:
            once.setdefault(run.config.id, run)
        self._runs = list(once.values())
        self._by_key: dict[RunConfig, list[RecordedRun]] = {}
        for run in self._runs:
            self._by_key.setdefault(_key(run.config), []).append(run)

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
        if (root / _INDEX).is_file():
            return cls(_packed(root))
        places = sorted({p.parent for depth in ("", "*/", "*/*/") for p in root.glob(f"{depth}config.json")})
        return cls(run for place in places if (run := _read(place)) is not None)

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, index: Any) -> Any:
        return self._runs[index]

    def __iter__(self) -> Iterator[RecordedRun]:
        return iter(self._runs)

    def member(self, preset: Preset) -> Member:
        """The runs of one preset, by seed."""
        wanted = set(preset.config.probes)
        found = [r for r in self._by_key.get(_key(preset.config), []) if wanted <= set(r.config.probes)]
        once: dict[int, RecordedRun] = {}
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
            once = {_key(p.config): p for p in reversed(family(name + form))}
            members = [self.member(preset) for preset in reversed(once.values())]
            found = tuple(m for m in members if m.runs)
            missing = tuple(m.preset for m in members if not m.runs)
            if found and (best is None or len(found) > len(best.members)):
                best = Family(name + form, form, found, missing)
        return best


def recorded() -> Runs:
    """The results that come with this package, of small networks trained on a CPU."""
    return Runs.load(Path(__file__).parents[1] / "recorded")


def sweep_command(name: str, out: str = "runs") -> str:
    """The command that makes the runs of a family in one form."""
    return f"reawaken llm sweep --presets {name} --seeds 0 1 2 --out {out}"


def run_command(config: RunConfig, preset: Preset, out: str = "RUN") -> str:
    """The command that makes exactly this run, from a preset of which it is a run."""
    words = [f"reawaken llm run --preset {preset.name}"]
    mine, theirs = config.to_json(), preset.config.to_json()
    for name, value in mine.items():
        if value != theirs[name]:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"--{name.replace('_', '-')} {text}")
    return " ".join([*words, f"--out {out}"])


def made_by(config: RunConfig) -> str:
    """The command that makes exactly this run, from the preset of any form that is nearest to it.

    Raises:
        InputError: for a configuration that is of no preset.
    """
    for preset in _every_preset():
        if _key(preset.config) == _key(config):
            return run_command(config, preset)
    raise InputError(f"run {config.id} is of no preset", expected="a run that a figure shows",
                     fix="reawaken llm presets")  # fmt: skip


@cache
def _every_preset() -> tuple[Preset, ...]:
    names = dict.fromkeys(preset.family for preset in PRESETS.values())
    return tuple(member for form in FORMS for name in names for member in family(name + form))


def pack(runs: Iterable[RecordedRun], out: str | os.PathLike[str]) -> None:
    """Write runs as small files: losses, order and probes in one ``.npz`` each, and an index.

    Losses that are single precision by origin are kept so, without loss; probes are rounded to it.

    Args:
        runs: finished runs.
        out: folder; files of an earlier packing that are not packed again are removed.
    """
    root = Path(out)
    root.mkdir(parents=True, exist_ok=True)
    index = []
    for run in sorted(runs, key=lambda run: run.config.id):
        arrays: dict[str, Any] = {"losses": _single(run.losses.values), "order": _narrow(run.losses.order)}
        arrays["meta"] = np.array(json.dumps({"config": run.config.to_json()}))
        for name in run.config.probes:
            for key, values in run.probe(name).items():
                arrays[f"{name}/{key}"] = values.astype(np.float32) if values.dtype == np.float64 else values
        if (fit := fitted(run)) is not None:
            arrays["fit"] = fit.values.astype(np.float32)
        with atomic_write(root / f"{run.config.id}.npz") as file:
            np.savez_compressed(file, **arrays)
        identity = {key: run.manifest[key] for key in _IDENTITY if key in run.manifest}
        identity["tasks"] = {"sha256": run.manifest.get("tasks", {}).get("sha256")}
        index.append({
            "id": run.config.id, "command": made_by(run.config), "config": run.config.to_json(),
            "manifest": identity,
        })  # fmt: skip
    kept = {entry["id"] for entry in index}
    for old in root.glob("*.npz"):
        if old.stem not in kept:
            old.unlink()
    with atomic_write(root / _INDEX, "w") as text:
        text.write("[\n" + ",\n".join(json.dumps(entry, sort_keys=True) for entry in index) + "\n]\n")


def _single(values: NDArray[np.float64]) -> NDArray[Any]:
    single = values.astype(np.float32)
    return single if np.array_equal(single, values) else values


def _narrow(order: NDArray[np.int64]) -> NDArray[Any]:
    return order.astype(np.int16) if order.max(initial=0) < 2**15 else order


def _packed(root: Path) -> Iterator[RecordedRun]:
    for entry in json.loads((root / _INDEX).read_text()):
        config = RunConfig.from_json(entry["config"])
        yield RecordedRun(config, entry["manifest"], root / f"{entry['id']}.npz")


def _read(place: Path) -> RecordedRun | None:
    """A finished run; None for what is unfinished, or no run of a language model."""
    if not (place / "losses.npz").is_file():
        return None
    try:
        config = RunConfig.from_json(json.loads((place / "config.json").read_text()))
        manifest = json.loads((place / "manifest.json").read_text())
    except (OSError, ValueError, TypeError):
        return None
    return RecordedRun(config, manifest, place)


def _key(config: RunConfig) -> RunConfig:
    """What must agree: everything but seed, probes and how it was executed."""
    return replace(config, seed=0, probes=(), device="auto", precision="ieee")
