"""Fitted toys beside networks, where a run folder or the recorded results hold a fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm.runs.finished import Run
from toymodel.base.arrays import load_arrays
from toymodel.measures.losses import LossMatrix

__all__ = ["FILE", "fit_runs", "fitted", "fitted_losses"]

FILE = "fit.npz"
"""The fitted toy's loss matrix, in the run folder."""


def fit_runs(runs: Iterable[Run]) -> int:
    """Fit the toy to every run in a folder that has no fit yet, and leave it there; how many there were."""
    from bridge import fit

    todo = [run for run in runs if run.path.is_dir() and not (run.path / FILE).is_file()]
    for run in todo:
        fit(run.losses, intervals_by="none").prediction.save(run.path / FILE)
    return len(todo)


def fitted(run: Run) -> LossMatrix | None:
    """The toy's loss matrix that was fitted to a run; None where none was.

    A fit lies in a run folder as `FILE`, in packed results under the key ``fit``.
    """
    if run.path.is_dir():
        return LossMatrix.load(run.path / FILE) if (run.path / FILE).is_file() else None
    arrays = load_arrays(run.path)
    return LossMatrix.from_values(arrays["fit"], arrays["order"]) if "fit" in arrays else None


def fitted_losses(runs: Sequence[Run]) -> list[LossMatrix] | None:
    """The fitted toys of a member's runs; None unless every run has one, as a mean would mix seeds."""
    found = [matrix for run in runs if (matrix := fitted(run)) is not None]
    return found if found and len(found) == len(runs) else None
