"""How results lie on disk: many small runs packed with an index, or run folders, with where they came from.

Packed are the runs that ``reawaken record`` trains anew. A folder of real runs holds run folders, and beside
them their provenance (`llm.runs.kept`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from figures.evidence.fits import fitted
from llm.config import RunConfig
from llm.reproduce import made_by
from llm.runs.finished import Run
from llm.runs.kept import PROVENANCE, check_against, provenance, run_places
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write
from toymodel.base.words import one_line

__all__ = ["INDEX", "pack", "read_folders", "read_packed"]

INDEX = "index.json"

# What of a manifest tells runs apart; the rest is in the run folder.
_IDENTITY = ("started", "finished", "git_commit", "device", "threads", "versions", "model")


def read_packed(root: Path) -> Iterator[Run]:
    """The runs packed into a folder, and into the folders in it; none where there is no index.

    Raises:
        InputError: for an index of ours that is damaged.
    """
    for index in (root / INDEX, *sorted(root.glob(f"*/{INDEX}"))):
        # Other programs call their files so too.
        if index.is_file() and b'"num_documents"' in (text := index.read_bytes()):
            yield from _indexed(index, text)


def _indexed(index: Path, text: bytes) -> list[Run]:
    folder = index.parent
    try:
        return [
            Run(RunConfig.from_json(entry["config"]), dict(entry["manifest"]), folder / f"{entry['id']}.npz")
            for entry in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{str(index)!r} cannot be read ({one_line(error)})",
            expected="the index of packed runs, as reawaken record wrote it",
            fix="copy the folder again from where it was made",
        ) from error


def read_folders(root: Path) -> Iterator[Run]:
    """Every finished run in a folder: itself a run, or one or two levels up; others are passed over.

    Raises:
        InputError: for a run whose files contradict each other, or the provenance beside it.
    """
    for place in run_places(root):
        if not (place / "losses.npz").is_file():
            continue
        run = Run.load(place)
        if (place.parent / PROVENANCE).is_file():
            known = provenance(place.parent)
            check_against(known, run)
            # A program run from its source tree without a repository cannot tell its commit.
            said = known["runs"][run.name].get("commit") or known["program"]["commit"]
            run.manifest["git_commit"] = run.manifest.get("git_commit") or said
        yield run


def pack(runs: Iterable[Run], out: Path) -> None:
    """Write runs as small files, `Run.pack` of each with its fit, and an index.

    Args:
        runs: finished runs.
        out: folder; what is packed there already stays as it is if it is among the runs, else it is removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    index = []
    for run in sorted(runs, key=lambda run: run.config.id):
        place = out / f"{run.config.id}.npz"
        if run.path != place:
            fit = fitted(run)
            run.pack(place, **({} if fit is None else {"fit": fit.values.astype(np.float32)}))
        identity = {key: run.manifest[key] for key in _IDENTITY if key in run.manifest}
        identity["tasks"] = {"sha256": run.manifest.get("tasks", {}).get("sha256")}
        index.append({
            "id": run.config.id, "command": made_by(run.config), "config": run.config.to_json(),
            "manifest": identity,
        })  # fmt: skip
    kept = {entry["id"] for entry in index}
    for old in out.glob("*.npz"):
        if old.stem not in kept:
            old.unlink()
    with atomic_write(out / INDEX, "w") as text:
        text.write("[\n" + ",\n".join(json.dumps(entry, sort_keys=True) for entry in index) + "\n]\n")
