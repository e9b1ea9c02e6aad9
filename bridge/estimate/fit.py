"""Fit a mechanism to one loss matrix, or to several with shared and separate parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from bridge.estimate.checks import Bounds, check_data, check_size, choose
from bridge.estimate.choice import FAMILY
from bridge.estimate.explain import choose_for, explain
from bridge.estimate.inputs import Losses
from bridge.estimate.inputs import matrices as as_matrices
from bridge.estimate.intervals import intervals
from bridge.estimate.pose import pose
from bridge.estimate.result import FitResult, Start
from bridge.model.mechanism import Mechanism
from bridge.model.terms import WEIGHT
from bridge.search.problem import Problem, Solution, Weights
from bridge.search.uncertainty import Noise, measure_noise
from toymodel import InputError, LossMatrix
from toymodel.base.numbers import whole
from toymodel.base.words import arg

__all__ = ["fit", "search"]

Floats = NDArray[np.float64]
# Two searches whose objectives differ by less than this part have found the same optimum.
_SAME = 0.01
# Rounds of parameters and variances in turn; real runs settle in three or four.
_ROUNDS = 6


def fit(
    losses: Losses,
    mechanism: Mechanism | None = None,
    *,
    describe: bool = False,
    shared: Sequence[str] = (),
    bounds: Bounds | None = None,
    observed: ArrayLike | Sequence[ArrayLike] | None = None,
    starts: int = 6,
    seed: int = 0,
    intervals_by: str = "auto",
) -> FitResult:
    """The simplest form that predicts, or a given one, with intervals.

    Forms of one channel without correlated documents (`Mechanism.explains`) are fitted to what documents
    share: the likelihood of the means over documents by visit and lag, each document's own departures being
    smooth in lag and coming again from epoch to epoch (`bridge.field.curves`). The others describe every
    loss, by penalised least squares with autoregressive noise (`bridge.search.problem`).

    Args:
        losses: one matrix, or several of one T; an array or nested lists are in the cyclic order.
        mechanism: the form; chosen by what it predicts if None (`bridge.estimate.choice`).
        describe: without a form, take the fullest that the number of losses can bear.
        shared: parameters that several matrices have in common, by name with or without a channel's number;
            the others, scales, floors and pair correlations are each matrix's own.
        bounds: narrower ranges of parameters in their own units, by name; equal ends fix a parameter.
        observed: which losses to use, bool of the losses' shape (one for each matrix of a joint fit).
        starts: starting points.
        seed: of the starting points beyond the first, which are fixed.
        intervals_by: ``profile``, ``quadratic``, ``none``, or ``auto``: by profile where that takes seconds.

    Raises:
        InputError: for data, bounds or names that cannot be used, and for too little data.
    """
    shared = (shared,) if isinstance(shared, str) else shared
    starts = whole("starts", starts, least=1, fix=6)
    matrices = as_matrices(losses)
    masks = _masks(matrices, observed)
    check_data(matrices, masks)
    fewest = min(int(mask.sum()) for mask in masks)
    if mechanism is not None and describe:
        raise InputError(arg("describe", True) + f" and a mechanism of {len(mechanism.terms)} parameters",
                         expected="one of them", fix="leave out describe")  # fmt: skip
    began = time.perf_counter()
    chosen, others = None, dict[str, Mechanism]()
    form = mechanism or (choose(matrices[0], fewest) if describe else None)
    unit = _unit(matrices, masks, exact=form is None or form.explains)
    if form is None:
        with threadpool_limits(1, user_api="blas"):
            chosen = choose_for(matrices, masks, shared, bounds or {}, unit)
        form = chosen.chosen.mechanism
        others = {c.name: c.mechanism for c in chosen.candidates if not c.chosen}
    for matrix, mask in zip(matrices, masks, strict=True):
        check_size(form, matrix, int(mask.sum()))
    if intervals_by not in ("auto", "profile", "quadratic", "none"):
        raise InputError(arg("intervals_by", intervals_by), expected="auto, profile, quadratic or none",
                         fix=arg("intervals_by", "auto"))  # fmt: skip
    weights = [mask.astype(np.float64) for mask in masks]
    # A form shares what it has of the names that any form of the family has.
    known = {name for other in FAMILY.values() for name in other.names} if chosen is not None else set()

    def posed(one: Mechanism) -> tuple[Problem, tuple[str, ...]]:
        common = [name for name in shared if name not in known or name in one.names]
        return pose(matrices, one, common, bounds or {}, weights, unit)

    problem, names = posed(form)
    # A fit is thousands of products of small matrices, where threads that wait for one another cost more.
    with threadpool_limits(1, user_api="blas"):
        if form.explains:
            rest = {name: posed(other)[0] for name, other in others.items()}
            return explain(
                problem, names, matrices, unit, starts, seed, intervals_by != "none", chosen, rest, began
            )
        best, noise, tried, evaluations = search(problem, starts, seed)
        if not any(term.channel and term.name in shared for term in form.terms):
            best, noise = _in_order(problem, best, noise)
        parameters, reduced, how = intervals(problem, best, noise, names, tried[0].begin, intervals_by)
    return FitResult(
        mechanism=form,
        datasets=tuple(matrices),
        unit=unit,
        problem=problem,
        solution=best,
        noise=noise,
        parameters=parameters,
        correlation=reduced.correlation,
        flat_directions=reduced.flat_words(names),
        starts=tuple(tried),
        evaluations=evaluations,
        intervals_by=how,
        seconds=time.perf_counter() - began,
    )


def _unit(matrices: Sequence[LossMatrix], masks: Sequence[NDArray[np.bool_]], exact: bool) -> float:
    """The largest loss, or a power of 2 near it: what is fitted is of size 1.

    Divided by a power of 2 losses lose no digit; divided by the largest they are the same in every unit.
    """
    largest = max(float(np.abs(m.values[mask]).max()) for m, mask in zip(matrices, masks, strict=True))
    return largest if exact else math.ldexp(1.0, math.frexp(largest)[1] - 1)


def _masks(
    matrices: Sequence[LossMatrix], observed: ArrayLike | Sequence[ArrayLike] | None
) -> list[NDArray[np.bool_]]:
    if observed is None:
        return [np.ones(m.values.shape, dtype=bool) for m in matrices]
    masks = [observed] if len(matrices) == 1 and np.ndim(observed) == 2 else list(observed)  # type: ignore[arg-type]
    if len(masks) != len(matrices):
        raise InputError(f"{len(masks)} masks for {len(matrices)} loss matrices", expected="one for each",
                         fix=arg("observed", "[mask") + ", ...]")  # fmt: skip
    return [np.asarray(mask) for mask in masks]


def search(
    problem: Problem, starts: int, seed: int, first: Sequence[Floats] = ()
) -> tuple[Solution, Noise, list[Start], int]:
    """Search from many starts without pair correlations, then with them from the two best optima.

    Returns:
        The best solution, its noise, all starts with the best first, and the evaluations used.
    """
    mechanism = problem.mechanism
    plain = replace(problem, mechanism=replace(mechanism, pairs=False))
    begins = [*first, *problem.starts(starts, seed)]
    total = sum(float(np.var(b.values[b.weight > 0])) for b in problem.blocks) / len(problem.blocks)
    guess = 0.04 * total  # what the mechanism leaves of real runs; refined below
    found = [(b, plain.minimise(b, Weights(guess), tolerance=1e-5)) for b in begins]
    found.sort(key=lambda pair: pair[1].cost)
    used = sum(s.evaluations for _, s in found)
    tried = [Start(b, s.theta, s.cost, s.converged) for b, s in found]
    chosen: list[tuple[Solution, Noise]] = []
    distinct: list[float] = []
    for _, rough in found:
        if any(abs(rough.cost - other) < _SAME * other for other in distinct):
            continue
        if len(distinct) == (2 if mechanism.pairs else 1):
            break
        distinct.append(rough.cost)
        chosen.append(_finish(problem, rough, guess))
        used += chosen[-1][0].evaluations
    best, noise = min(chosen, key=lambda pair: pair[1].evidence)
    return best, noise, tried, used


def _in_order(problem: Problem, best: Solution, noise: Noise) -> tuple[Solution, Noise]:
    """Number the channels by what an episode leaves of them, least first: their numbers mean nothing else."""
    layout, channels = problem.mechanism.layout, range(1, problem.mechanism.channels + 1)
    if len(channels) == 1:
        return best, noise
    own = best.theta[problem.blocks[0].index]
    rank = sorted(channels, key=lambda c: layout.value(own, "unfitted_fraction", c))
    theta = best.theta.copy()
    for block in problem.blocks:
        own = best.theta[block.index]
        for position, term in zip(block.index, layout.terms, strict=True):
            if not term.channel:
                continue
            old = rank[term.channel - 1]
            theta[position] = layout.value(own, term.kind, old)
            if term.kind == WEIGHT.kind:  # over that of the channel that is now the first
                theta[position] -= layout.value(own, term.kind, rank[0])
    used = noise.used
    if used.tilt is not None and rank != list(channels):
        tilt = problem.tilt(theta, best.pairs, noise.variance, noise.ridge)
        used = replace(used, tilt=tilt)
    ordered = replace(best, theta=np.clip(theta, problem.low, problem.high))
    return ordered, replace(noise, used=used)


def _finish(problem: Problem, rough: Solution, guess: float) -> tuple[Solution, Noise]:
    """Alternate between the parameters and the variances (of the noise, and of pairs: 1/M) they imply."""
    theta, pairs, evaluations = rough.theta, None, rough.evaluations
    # Correlations of about 1/sqrt(500) are what real runs show.
    weights = Weights(guess, guess / 0.002) if problem.mechanism.pairs else Weights(guess)
    for _ in range(_ROUNDS):
        solution = problem.minimise(theta, weights, pairs, tolerance=1e-6, most=40)
        evaluations += solution.evaluations
        settled = weights.tilt is not None and bool(np.abs(solution.theta - theta).max() < 0.02)
        theta, pairs = solution.theta, solution.pairs
        noise = measure_noise(problem, solution, weights)
        close = (
            abs(np.log(noise.variance / weights.noise)) < 0.05
            and abs(np.log(noise.ridge / weights.ridge)) < 0.2
        )
        if close and (settled or not problem.mechanism.pairs):
            break
        weights = Weights(noise.variance, noise.ridge,
                          problem.tilt(theta, pairs, noise.variance, noise.ridge))  # fmt: skip
    evidence = solution.cost / weights.noise + problem.observations * np.log(weights.noise)
    if problem.mechanism.pairs:
        slope = 0.0 if weights.tilt is None else 2 * float(weights.tilt @ theta)
        evidence += problem.log_determinants(theta, solution.pairs, weights.ridge) - slope / weights.noise
    final = replace(noise, used=weights, evidence=float(evidence))
    return replace(solution, evaluations=evaluations), final
