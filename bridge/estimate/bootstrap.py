"""Refits with documents drawn anew: how far a fit hangs on which documents there were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bridge.estimate.family import fit_posed
from bridge.estimate.result import FitResult
from bridge.field.curves import CurveFit
from toymodel import InputError
from toymodel.base.words import arg

__all__ = ["bootstrap"]

Floats = NDArray[np.float64]


def bootstrap(result: FitResult, draws: int = 20, seed: int = 0) -> Floats:
    """Parameters of refits to resampled documents, in their own units; shape ``(draws, p)``.

    The order of training stays, so documents that are not drawn are still there as what moves the weights.
    Refits start from the fit. Where a form describes, a document drawn n times counts n-fold, and refits keep
    the fit's variances. Where it explains, what documents share is fitted to random halves of them: an
    estimate from half departs from that from all as that from all does from the truth (half-samples;
    McCarthy, Review of the International Statistical Institute 37, 1969).

    Args:
        result: the fit.
        draws: refits.
        seed: of NumPy's default generator.
    """
    if draws < 1:
        raise InputError(arg("draws", draws), expected="at least 1", fix=arg("draws", 20))
    rng = np.random.default_rng(seed)
    if result.curves is not None:
        return _halves(result, result.curves, draws, rng)
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
        rows.append(solution.theta)
    return _natural(result, rows)


def _halves(result: FitResult, found: CurveFit, draws: int, rng: np.random.Generator) -> Floats:
    rows = []
    with threadpool_limits(1, user_api="blas"):
        for _ in range(draws):
            blocks, widening = [], 1.0
            for block in result.problem.blocks:
                seen = np.flatnonzero((block.weight > 0).any(0))
                left_out = rng.permutation(seen)[len(seen) // 2 :]
                weight = block.weight.copy()
                weight[:, left_out] = 0.0
                blocks.append(replace(block, weight=weight))
                # Of an odd number the smaller half departs by more than all do.
                widening = math.sqrt((len(seen) - len(left_out)) / len(left_out))
            half = replace(result.problem, blocks=tuple(blocks))
            again = fit_posed(half, begins=[found.theta], numbers=found.numbers)
            rows.append(found.prior.box.clip(found.theta + widening * (again.theta - found.theta)))
    return _natural(result, rows)


def _natural(result: FitResult, rows: Sequence[Floats]) -> Floats:
    return np.array([[result.problem.term(p).natural(v) for p, v in enumerate(row)] for row in rows])
