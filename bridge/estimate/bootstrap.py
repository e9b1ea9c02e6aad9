"""Refits with documents drawn anew: how far a fit hangs on which documents there were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bridge.estimate.result import FitResult
from toymodel import InputError
from toymodel.base.words import arg

__all__ = ["bootstrap"]


def bootstrap(result: FitResult, draws: int = 20, seed: int = 0) -> NDArray[np.float64]:
    """Parameters of refits to resampled documents, in their own units; shape ``(draws, p)``.

    A document drawn n times counts n-fold; the order of training stays, so the others are still there as what
    moves the weights. Refits start from the fit and keep its variances.

    Args:
        result: the fit.
        draws: refits.
        seed: of NumPy's default generator.
    """
    if draws < 1:
        raise InputError(arg("draws", draws), expected="at least 1", fix=arg("draws", 20))
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(draws):
        blocks = []
        for block in result.problem.blocks:
            times = np.bincount(rng.integers(0, block.tasks, block.tasks), minlength=block.tasks)
            blocks.append(replace(block, weight=block.weight * np.sqrt(times)))
        again = replace(result.problem, blocks=tuple(blocks))
        solution = again.minimise(
            result.solution.theta,
            result.noise.weights,
            [d.copy() for d in result.solution.pairs],
            tolerance=1e-4,
            most=25,
        )
        rows.append([result.problem.term(p).natural(v) for p, v in enumerate(solution.theta)])
    return np.array(rows)
