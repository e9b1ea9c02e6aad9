"""Finished runs that lie in a folder: run folders at any depth, and packed ones beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llm.config import RunConfig
from llm.runs.finished import Run
from toymodel import InputError, LossMatrix
from toymodel.base.words import arg

__all__ = ["finished_runs"]


def finished_runs(root: Path) -> Iterator[Run]:
    """Every finished run of a folder, in the order of their paths.

    Raises:
        InputError: where there is none.
    """
    found = 0
    for path in sorted(root.rglob("*.npz")):
        run = _read(path)
        if run is not None:
            found += 1
            yield run
    if not found:
        raise InputError(f"{str(root)!r} holds no finished run", expected="run folders, or packed results",
                         fix=arg("runs", "figures/recorded"))  # fmt: skip


def _read(path: Path) -> Run | None:
    """The run of a loss matrix in its folder, or of a packed file; None for any other file."""
    if path.name == "losses.npz":
        return Run.load(path.parent) if (path.parent / "config.json").is_file() else None
    if (path.parent / "losses.npz").is_file() or (path.parent.parent / "losses.npz").is_file():
        return None  # another file of a run folder
    try:
        config = LossMatrix.load(path).meta.get("config")
    except InputError:
        return None
    return Run(RunConfig.from_json(config), {}, path) if isinstance(config, dict) else None
