"""Losses in every form they may be given in, as loss matrices and what is known of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toymodel import InputError, LossMatrix
from toymodel.measures.loss_checks import check_shape, numbers
from toymodel.measures.losses import read_losses

__all__ = ["Losses", "matrices", "read"]

Losses = LossMatrix | ArrayLike | Sequence[LossMatrix | ArrayLike]


def matrices(losses: Losses) -> list[LossMatrix]:
    """One loss matrix (a `LossMatrix`, an array, or nested lists), or several of them in a sequence.

    An array alone is taken to be in the paper's cyclic order.

    Raises:
        InputError: for anything else, and for a matrix that cannot be one.
    """
    if isinstance(losses, LossMatrix):
        return [losses]
    if isinstance(losses, Sequence) and not isinstance(losses, str):
        if any(isinstance(part, LossMatrix) for part in losses):
            return [_matrix(part) for part in losses]
        # Rows of numbers are one matrix; matrices one after another are several.
        if losses and all(_depth(part) == 2 for part in losses):
            return [_matrix(part) for part in losses]
        if not losses:
            return []
    return [_matrix(losses)]


def _depth(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.ndim
    return 1 + _depth(value[0]) if isinstance(value, (list, tuple)) and value else 0


def _matrix(value: Any) -> LossMatrix:
    if isinstance(value, LossMatrix):
        return value
    inside = getattr(value, "losses", None)
    if isinstance(inside, LossMatrix):
        raise InputError(f"a fit to a {type(value).__name__}", expected="losses", fix="fit(run.losses)")
    if isinstance(value, (str, os.PathLike)):
        raise InputError(f"a fit to the name {str(value)!r}", expected="losses",
                         fix=f"fit(LossMatrix.load({str(value)!r}))")  # fmt: skip
    return LossMatrix.from_values(value)


def read(path: str | os.PathLike[str], mask_nan: bool = False) -> tuple[LossMatrix, NDArray[np.bool_]]:
    """A loss matrix from a file or run folder, and which of its losses are known.

    Args:
        path: as `LossMatrix.load` takes it.
        mask_nan: losses that are NaN are left out of the fit; between its neighbours in the same column such
            a loss is interpolated, so that scores and curves have something to go by. They are refused if
            False.

    Raises:
        InputError: for whatever `LossMatrix.load` refuses, and for a column without any loss.
    """
    if not mask_nan:
        loaded = LossMatrix.load(path)
        return loaded, np.ones(loaded.values.shape, dtype=bool)
    values, order, meta = read_losses(path)
    array = np.array(numbers(values, f"the losses of {Path(path).name}"), dtype=np.float64)
    check_shape(array)
    known = ~np.isnan(array)
    rows = np.arange(len(array))
    for column, seen in enumerate(known.T):
        if not seen.any():
            raise InputError(f"task {column} has no loss but NaN", expected="a known loss for every task",
                             fix="leave the task out, in columns and in order")  # fmt: skip
        array[~seen, column] = np.interp(rows[~seen], rows[seen], array[seen, column])
    return LossMatrix.from_values(array, order, meta), known
