"""Results that are kept: the small files of finished runs in one folder, and where they came from.

Beside the run folders ``provenance.json`` says what they ran on, what files they were given, and of each run
the command that makes it again and the hashes of its settings, tasks, initial weights and results. Runs are
examined as a stranger's would be, when they are put there and whenever they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm.runs.finished import Run
from llm.runs.folder import RunFolder
from llm.tasks.order import episode_order
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write, check_output_folder, contents
from toymodel.base.json_file import read_json, write_json
from toymodel.base.lock import lock, refuse_if_held
from toymodel.base.words import arg

__all__ = [
    "PROVENANCE",
    "check_against",
    "collecting",
    "examine",
    "file_sha256",
    "hashes",
    "keep",
    "provenance",
    "run_places",
]

PROVENANCE = "provenance.json"

_KEPT = ("config.json", "manifest.json", "log.jsonl", "*.npz", "probes/*.npz")
_LARGEST = 16 << 20  # bytes of one file: results are small, and weights are none
_HASHED = ("config", "tasks", "weights", "losses")


def run_places(root: Path) -> list[Path]:
    """Run folders: a folder itself, or those one or two levels up; other programs' folders are none."""
    found = {file.parent for depth in ("", "*/", "*/*/") for file in root.glob(f"{depth}config.json")}
    return sorted(place for place in found if b'"num_documents"' in (place / "config.json").read_bytes())


def provenance(root: Path) -> dict[str, Any]:
    """Where the runs of a folder come from, as its ``provenance.json`` says.

    Raises:
        InputError: for a file that is missing or damaged.
    """
    fix = f"copy {root.name} again from where it was made"
    found = read_json(root / PROVENANCE, fix=fix)
    runs, program = found.get("runs"), found.get("program")
    whole = isinstance(runs, dict) and all(isinstance(line, dict) for line in runs.values())
    if not whole or not isinstance(program, dict) or not program.get("commit"):
        raise InputError(
            f"{str(root / PROVENANCE)!r} cannot be read (it lacks its runs, or their program's commit)",
            expected="the provenance of its runs", fix=fix,
        )  # fmt: skip
    return found


def hashes(run: Run) -> dict[str, str]:
    """What identifies the run in a folder: configuration, tasks, initial weights, losses, probes if any."""
    manifest = run.manifest
    found = {
        "config": manifest.get("config_id", ""),
        "tasks": manifest.get("tasks", {}).get("sha256", ""),
        "weights": manifest.get("model", {}).get("sha256", ""),
        "losses": file_sha256(run.path / "losses.npz"),
    }
    return found | {f"probes/{name}": file_sha256(run.path / "probes" / f"{name}.npz") for name in run.probes}


def check_against(known: Mapping[str, Any], run: Run) -> None:
    """That a kept run is the one of that name that was kept.

    Raises:
        InputError: for a run that is not in the provenance, or other than it says.
    """
    root = run.path.parent
    if run.name not in known["runs"]:
        raise InputError(f"recorded run {str(run.path)!r} has no line in {PROVENANCE}",
                         expected="one of " + ", ".join(known["runs"]),
                         fix=f"keep runs of your own in another folder than {root.name}")  # fmt: skip
    line, found = known["runs"][run.name], hashes(run)
    for what in dict.fromkeys([*_HASHED, *found, *(key for key in line if key.startswith("probes/"))]):
        said = line.get(what)
        if said != found.get(what):
            raise InputError(
                f"recorded run {str(run.path)!r} has other {what} than {PROVENANCE} says",
                expected=f"hash {str(said)[:12]}, found {str(found.get(what))[:12]}",
                fix=f"restore it: git checkout -- figures/recorded/{root.name}/{run.name}",
            )


def examine(run: Run) -> None:
    """That a run's files tell one story: settings, order of episodes, losses, log and probes.

    Raises:
        InputError: what contradicts what.
    """
    manifest, losses = run.manifest, run.losses
    missing = [what for what, found in hashes(run).items() if not found]
    wrong = ""
    if missing or not manifest.get("finished"):
        wrong = f"its manifest lacks {', '.join(missing) or 'the time at which it finished'}"
    elif not np.array_equal(losses.order, episode_order(run.config)):
        wrong = "the order in losses.npz is not that of its settings"
    means = losses.values[1:].mean(axis=1)
    for line in RunFolder(run.path).read_log():
        episode = line["episode"]
        mean = float(means[episode - 1]) if 0 < episode <= len(means) else math.nan
        if not math.isclose(line["mean_loss"], mean, rel_tol=1e-9):
            wrong = wrong or f"the log's line of episode {episode} does not agree with losses.npz"
    if wrong:
        raise InputError(f"{str(run.path)!r}: {wrong}", expected="the files that one run wrote",
                         fix=f"copy {run.name} again from where it was made, or leave it out")  # fmt: skip
    for name in run.probes:
        run.probe(name)


@contextlib.contextmanager
def collecting(into: Path, ours: Callable[[Path], bool]) -> Iterator[None]:
    """Hold the folder that results are collected in.

    Args:
        into: the folder.
        ours: whether a folder with something in it is a collection.

    Raises:
        InputError: for a folder of something else, one that another process works in, or no folder.
    """
    check_output_folder(into, name="into")
    if into.exists() and contents(into) and not ours(into):
        raise InputError(arg("into", into) + " exists and is no collection", expected="a new or empty folder",
                         fix=arg("into", f"{into}-results"))  # fmt: skip
    refuse_if_held(into)
    with lock(into):
        yield


def keep(
    runs: Sequence[Run], into: Path, about: Mapping[str, Any], said: Mapping[str, Mapping[str, str]]
) -> None:
    """Copy what is small of runs, and say where they came from; the caller holds the folder.

    Args:
        runs: finished ones, none of which is there.
        into: the collection, or the empty folder that becomes one.
        about: what provenance says of all of them: ``program`` with its ``commit``, and whatever else.
        said: of each beside its hashes: the ``command`` that makes it again, and perhaps its ``commit``.

    Raises:
        InputError: for a run whose files contradict each other or are not small; then nothing is copied.
    """
    for run in runs:
        examine(run)
    files = {run.name: _small_files(run.path) for run in runs}
    lines = {run.name: {**said[run.name], **hashes(run)} for run in runs}
    known = provenance(into)["runs"] if (into / PROVENANCE).is_file() else {}
    # Lines first: a line without its run is none yet, and a run without its line is refused.
    write_json(into / PROVENANCE, {**about, "runs": dict(sorted((known | lines).items()))})
    for run in runs:
        for file in files[run.name]:
            with atomic_write(into / run.name / file.relative_to(run.path)) as out:
                out.write(file.read_bytes())


def _small_files(source: Path) -> Sequence[Path]:
    """What is kept of a run folder, the loss matrix, which marks it as finished, last."""
    files = [file for pattern in _KEPT for file in sorted(source.glob(pattern))]
    for file in files:
        if file.stat().st_size > _LARGEST:
            raise InputError(f"{str(file)!r} has {file.stat().st_size >> 20} MiB",
                             expected=f"results of at most {_LARGEST >> 20} MiB each",
                             fix=f"copy {source.name} yourself")  # fmt: skip
    return sorted(files, key=lambda file: file.name == "losses.npz")


def file_sha256(file: Path) -> str:
    """SHA-256 of what a file holds, as hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
