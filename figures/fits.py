"""Fitted toys beside networks, where a run folder or the recorded results hold a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from toymodel.losses import LossMatrix

if TYPE_CHECKING:
    from figures.runs import RecordedRun

__all__ = ["fitted_losses"]


def fitted_losses(runs: Sequence[RecordedRun]) -> list[LossMatrix] | None:
    """The fitted toy's loss matrices of the runs that have one; None where none has.

    A fit lies in a run folder as ``fit.npz`` (a loss matrix), in packed results under the key ``fit``.
    """
    found = []
    for run in runs:
        if run.path.is_dir():
            if (run.path / "fit.npz").is_file():
                found.append(LossMatrix.load(run.path / "fit.npz"))
            continue
        with np.load(run.path, allow_pickle=False) as arrays:
            if "fit" in arrays:
                found.append(LossMatrix.from_values(arrays["fit"], arrays["order"]))
    return found or None
