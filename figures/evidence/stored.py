"""How results lie on disk: many small runs packed with an index, or run folders, with where they came from.

Packed are the runs that ``reawaken record`` trains anew. A folder of real runs holds run folders, and beside
them ``provenance.json``: which documents, tokenizer and program, and by run the command and the hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from figures.evidence.fits import fitted
from figures.evidence.reproduce import made_by
from llm.config import RunConfig
from llm.runs.finished import Run
from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write

__all__ = ["INDEX", "PROVENANCE", "hashes", "pack", "provenance", "read_folders", "read_packed"]

INDEX, PROVENANCE = "index.json", "provenance.json"

# What of a manifest tells runs apart; the rest is in the run folder.
_IDENTITY = ("started", "finished", "git_commit", "device", "threads", "versions", "model")


def read_packed(root: Path) -> Iterator[Run]:
    """The runs packed into a folder, and into the folders in it; none where there is no index."""
    for index in (root / INDEX, *sorted(root.glob(f"*/{INDEX}"))):
        if index.is_file():
            for entry in json.loads(index.read_text()):
                place = index.parent / f"{entry['id']}.npz"
                yield Run(RunConfig.from_json(entry["config"]), entry["manifest"], place)


def read_folders(root: Path) -> Iterator[Run]:
    """Every finished run in a folder: itself a run, or one or two levels up; others are passed over.

    Raises:
        InputError: for a run whose files contradict each other, or the provenance beside it.
    """
    places = sorted({p.parent for depth in ("", "*/", "*/*/") for p in root.glob(f"{depth}config.json")})
    for place in places:
        if (run := _read(place)) is None:
            continue
        if (place.parent / PROVENANCE).is_file():
            known = provenance(place.parent)
            _check_against(known, run)
            # A program run from its source tree without a repository cannot tell its commit.
            run.manifest["git_commit"] = run.manifest.get("git_commit") or known["program"]["commit"]
        yield run


def provenance(root: Path) -> dict[str, Any]:
    """Where the runs of a folder come from, as its ``provenance.json`` says.

    Raises:
        InputError: for a file that is missing or damaged.
    """
    file = root / PROVENANCE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found["runs"], dict) or not found["program"]["commit"]:
            raise ValueError("it lacks its runs, or their program's commit")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(file)!r} cannot be read ({error})", expected="the provenance of its runs",
                         fix=f"copy {root.name} again from where it was made")  from error  # fmt: skip
    return dict(found)


def hashes(run: Run) -> dict[str, str]:
    """What identifies the run in a folder: configuration, tasks, initial weights and losses."""
    manifest = run.manifest
    return {
        "config": manifest["config_id"],
        "tasks": manifest["tasks"]["sha256"],
        "weights": manifest["model"]["sha256"],
        "losses": hashlib.sha256((run.path / "losses.npz").read_bytes()).hexdigest(),
    }


def pack(runs: Iterable[Run], out: Path) -> None:
    """Write runs as small files, `Run.pack` of each with its fit, and an index.

    Args:
        runs: finished runs.
        out: folder; files of an earlier packing that are not packed again are removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    index = []
    for run in sorted(runs, key=lambda run: run.config.id):
        fit = fitted(run)
        also = {} if fit is None else {"fit": fit.values.astype(np.float32)}
        run.pack(out / f"{run.config.id}.npz", **also)
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


def _read(place: Path) -> Run | None:
    """A finished run; None for what is unfinished, or no run."""
    if not (place / "losses.npz").is_file():
        return None
    # Of other programs' folders there may be any; a run that is damaged, or of a later version, is refused.
    if b'"num_documents"' not in (place / "config.json").read_bytes():
        return None
    return Run.load(place)


def _check_against(known: Mapping[str, Any], run: Run) -> None:
    """That a recorded run is the one of that name that was recorded."""
    root = run.path.parent
    if run.name not in known["runs"]:
        raise InputError(f"recorded run {str(run.path)!r} has no line in {PROVENANCE}",
                         expected="one of " + ", ".join(known["runs"]),
                         fix=f"keep runs of your own in another folder than {root.name}")  # fmt: skip
    for what, found in hashes(run).items():
        said = known["runs"][run.name].get(what)
        if said != found:
            raise InputError(
                f"recorded run {str(run.path)!r} has other {what} than {PROVENANCE} says",
                expected=f"hash {str(said)[:12]}, found {found[:12]}",
                fix=f"restore it: git checkout -- figures/recorded/{root.name}/{run.name}",
            )
